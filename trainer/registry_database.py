"""The model registry's database."""

from trainer import database


class Database(database.Database):
    """Used by one thread, by any number of processes."""

    def __init__(self, url: str) -> None:
        """`url` is SQLAlchemy's; raises ConfigurationError where it cannot be used, TillguardError for its folder."""
        super().__init__(
            url,
            setting="trainer.registry_url",
            what="the model registry's database",
            location="trainer:migrations",
            lock="registry",
        )
