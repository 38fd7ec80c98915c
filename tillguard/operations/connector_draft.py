"""What `connector new` does: ask for the connection, look at the table, write a first file."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from connectors.config.connector_file import ConnectorConfig, MongodbServer, MysqlServer, parse
from connectors.drafting.first_file import render
from connectors.drafting.guess import guess, list_paths
from connectors.ports import Row
from contract.errors import ConfigurationError

KINDS = ("mysql", "mongodb", "file")
_SAMPLE = 50


@dataclass(frozen=True, slots=True)
class Wanted:
    """The answers; an empty one is asked for."""

    kind: str
    table: str = ""
    database: str = ""
    host: str = ""
    port: int = 0
    user: str = ""
    password_env: str = ""
    path: Path | None = None
    name: str = ""

    def ask_missing(self, ask: Callable[..., str]) -> "Wanted":
        """Complete answers; `ask(question, default=…)` is called for each that is missing."""
        if self.kind not in KINDS:
            raise ConfigurationError([f"--kind: one of {', '.join(KINDS)}"])
        if self.kind == "file":
            return replace(self, path=self.path or Path(ask("Which file or folder (Parquet, CSV or JSON lines)?")))
        word = "collection" if self.kind == "mongodb" else "table"
        return replace(
            self,
            host=self.host or ask("Host name of the database server", default="localhost"),
            port=self.port or (27017 if self.kind == "mongodb" else 3306),
            database=self.database or ask("Database"),
            table=self.table or ask(f"Which {word} holds the transactions?"),
            user=self.user or (ask("Database user") if self.kind == "mysql" else ""),
            password_env=self.password_env
            or (
                ask("Environment variable that holds the password", default="TILLGUARD_DB_PASSWORD")
                if self.kind == "mysql"
                else ""
            ),
        )

    def make_source(self) -> dict[str, object]:
        """Settings of `source` in the file."""
        if self.kind == "file":
            return {"kind": "file", "path": str((self.path or Path()).absolute())}
        given = {"host": self.host, "port": self.port, "user": self.user, "password_env": self.password_env}
        return (
            {"kind": self.kind} | {name: value for name, value in given.items() if value} | {"database": self.database}
        )

    def make_connector_name(self) -> str:
        """A valid connector name made from the answers."""
        base = self.name or (self.path.stem if self.path else f"{self.database}-{self.table}")
        name = re.sub(r"[^a-z0-9]+", "-", base.lower()).strip("-")
        return (name if name[:1].isalpha() else f"c-{name}")[:48].rstrip("-")


def draft(wanted: Wanted, environment: Mapping[str, str], ask_after_days: Callable[[], float]) -> str:
    """The text of a first connector file.

    Args:
        wanted: Complete answers.
        environment: Where `password_env` is looked up.
        ask_after_days: Called where a file's rows carry their labels: how many days after its transaction one becomes known.

    Raises ConfigurationError or TransientError where the table cannot be looked at.
    """
    source = wanted.make_source()
    if wanted.kind == "file":
        from tillguard.operations.file_draft import look_at_files  # noqa: PLC0415 - readers only where they are needed

        key = None
        found, settings = look_at_files(wanted.path or Path())
        source |= settings
    else:
        columns, key = _look(wanted, environment)
        found = guess(columns, key)
    after_days = ask_after_days() if wanted.kind == "file" and found.fraud is not None else None
    table = wanted.table or None
    return render(wanted.make_connector_name(), source, table, key, found, label_after_days=after_days)


def _look(wanted: Wanted, environment: Mapping[str, str]) -> tuple[list[str], str | None]:
    """Columns or paths of the table, and the column that names a row."""
    config = _bare(wanted)
    source = config.source
    if isinstance(source, MysqlServer):
        from connectors.mysql.source import MysqlSource  # noqa: PLC0415 - only who reads MySQL needs its driver

        reader = MysqlSource(config, source, source.read_secret(environment), lambda _: set())
        return reader.list_columns(wanted.table), reader.find_primary_key(wanted.table)
    if isinstance(source, MongodbServer):
        from connectors.mongodb.source import MongodbSource  # noqa: PLC0415 - as above

        documents = MongodbSource(config, source, source.read_secret(environment), lambda _: set())
        try:
            rows = [row for row in documents.sample(wanted.table, _SAMPLE) if isinstance(row, Row)]
        finally:
            documents.close()
        if not rows:
            raise ConfigurationError(
                [f"collection {wanted.table} is empty (or the user may not see it); nothing to guess from"]
            )
        return list_paths([row.values for row in rows]), None
    raise ConfigurationError([f"--kind: one of {', '.join(KINDS)}"])


def _bare(wanted: Wanted) -> ConnectorConfig:
    """A connector file that says just enough to connect."""
    import yaml  # noqa: PLC0415 - only here

    word = {"mysql": "table", "mongodb": "collection"}.get(wanted.kind)
    fields = {"transaction_id": "id", "event_time": "id", "amount": "id", "currency": {"constant": "EUR"}}
    transactions: dict[str, object] = {"fields": fields} | ({word: wanted.table} if word else {})
    document = {"name": wanted.make_connector_name(), "source": wanted.make_source(), "transactions": transactions}
    return parse(yaml.safe_dump(document), "the answers given")


def check_position(text: str) -> None:
    """Raises ConfigurationError unless `text` is a position of some kind of source."""
    import msgspec  # noqa: PLC0415

    from connectors.files.source import FilePosition  # noqa: PLC0415 - drivers only where they are needed
    from connectors.mongodb.position import parse_position  # noqa: PLC0415
    from connectors.mysql.position import parse_stream  # noqa: PLC0415
    from connectors.ports import Position  # noqa: PLC0415

    position = Position("stream", text)
    faults: list[str] = []
    for read in (parse_stream, parse_position, lambda each: msgspec.json.decode(each.text, type=FilePosition)):
        try:
            read(position)
        except ConfigurationError as error:
            faults += error.faults
        except (msgspec.DecodeError, msgspec.ValidationError):
            faults.append('a file position looks like {"rows": 1000, "size": 52345}')
        else:
            return
    raise ConfigurationError(faults)
