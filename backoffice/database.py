"""Opens the database of what is born in the backoffice: accounts, case work and audit. Knows none of its tables."""

from runtime.database import Database

MIGRATIONS = "backoffice:migrations"
WHAT = "the backoffice's database"


def open_database(url: str, *, revision: str = "head") -> Database:
    """The database at SQLAlchemy's `url`, its tables at `revision` or a later one; threads and processes share it.

    Raises ConfigurationError for a URL that cannot be used, TransientError where the database does not answer.
    """
    database = Database(url, setting="backoffice.database_url", what=WHAT, read_while_written=True)
    database.upgrade(MIGRATIONS, lock="backoffice", revision=revision)
    return database
