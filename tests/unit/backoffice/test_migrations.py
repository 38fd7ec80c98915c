"""The migrations of what is born in the backoffice."""

from alembic.config import Config
from alembic.script import ScriptDirectory

from backoffice.database import MIGRATIONS


def test_the_migrations_are_one_chain() -> None:
    config = Config()
    config.set_main_option("script_location", MIGRATIONS)
    scripts = ScriptDirectory.from_config(config)
    revisions = [each.revision for each in scripts.walk_revisions()]
    assert len(scripts.get_heads()) == 1
    assert sorted(revisions, reverse=True) == revisions
