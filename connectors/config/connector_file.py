"""A connector file: one YAML file that says which database, which table, and what its columns mean.

`parse` reports every fault with its line. Pure: text in, ConnectorConfig out.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, TypeAdapter, ValidationError, model_validator

from connectors.config.fields import LabelFields, ResolutionFields, Spec, TransactionFields
from connectors.config.file_settings import Files
from contract.errors import ConfigurationError
from contract.sections.section import NAME, describe_fault
from runtime.yaml_document import Document, expect_mapping

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Path_ = tuple[str | int, ...]


class Tls(Spec):
    """Encryption of the connection to the database."""

    ca_file: Path | None = Field(None, description="PEM of the authority that signed the server's certificate")
    cert_file: Path | None = Field(None, description="PEM of this client's certificate (mutual TLS)")
    key_file: Path | None = Field(None, description="PEM of this client's key (mutual TLS)")
    check_hostname: bool = Field(True, description="the certificate must name the host")


class Server(Spec):
    """What every database server needs."""

    host: str = Field("localhost", min_length=1, description="host name or address")
    user: str | None = Field(None, description="database user; see the connectors guide for the grants it needs")
    password: SecretStr | None = Field(None, description="better: password_env")
    password_env: str | None = Field(None, description="environment variable that holds the password")
    database: str = Field(min_length=1, description="database (schema) of the tables or collections")
    tls: Tls | None = Field(None, description="leave out for an unencrypted connection")
    heartbeat_s: Seconds = Field(1.0, description="a quiet source reports so often; positions move on then")
    silent_after_s: Seconds = Field(30.0, description="no answer for so long counts as a lost connection")

    @model_validator(mode="after")
    def _has_one_password(self) -> Self:
        if self.password is not None and self.password_env is not None:
            raise ValueError("give password or password_env, not both")
        if self.silent_after_s < 3 * self.heartbeat_s:
            raise ValueError("silent_after_s must be at least three times heartbeat_s")
        return self

    def read_secret(self, environment: Mapping[str, str]) -> str | None:
        """The password; raises ConfigurationError when its environment variable is not set."""
        if self.password_env is not None:
            if self.password_env not in environment:
                raise ConfigurationError(
                    [f"source.password_env: the environment variable {self.password_env} is not set"]
                )
            return environment[self.password_env]
        return self.password.get_secret_value() if self.password is not None else None


class MysqlServer(Server):
    """MySQL or MariaDB, read by its binary log."""

    kind: Literal["mysql"]
    port: int = Field(3306, ge=1, le=65535, description="port")
    server_id: int | None = Field(
        None, ge=1, le=2**32 - 1, description="replica id, unique among all replicas; made from the names where absent"
    )
    position_by: Literal["file", "gtid"] = Field("file", description="gtid survives a failover to another server")
    lock_wait_s: Seconds | None = Field(None, description="without effect: the snapshot locks nothing any more")
    on_unreadable: Literal["stop", "dead_letter"] = Field(
        "stop",
        description="when the log tells of a change of mapped tables without its rows: stop before it, or leave a dead letter and continue",
    )


class MongodbServer(Server):
    """A MongoDB replica set, read by change streams."""

    kind: Literal["mongodb"]
    port: int = Field(27017, ge=1, le=65535, description="port; used where `host` names none")
    replica_set: str | None = Field(None, description="name of the replica set; `host` may then list several host:port")
    auth_source: str = Field("admin", description="database that knows the user")
    direct: bool = Field(False, description="true: talk to this one server only")
    uuid_representation: Literal["standard", "pythonLegacy", "javaLegacy", "csharpLegacy"] = Field(
        "standard",
        description="how the shop's driver writes UUIDs of binary subtype 3; those of subtype 4 need nothing",
    )


class Table(Spec):
    """A table or collection."""

    table: str | None = Field(None, min_length=1, description="table (MySQL)")
    collection: str | None = Field(None, min_length=1, description="collection (MongoDB)")
    key: str | None = Field(
        None, min_length=1, description="column that names a row: the primary key; `_id` for MongoDB"
    )

    @property
    def name(self) -> str:
        """Table or collection; empty for the transaction's own row and for files."""
        return self.table or self.collection or ""


class Transactions(Table):
    """Where transactions are."""

    updates: Literal["ignore", "new_transaction"] = Field(
        "ignore",
        description="an UPDATE after the first sight: nothing, or a transaction of its own with the id `<id>~<digest>`",
    )
    snapshot: bool = Field(True, description="false: only what comes after the first start, no history")
    snapshot_order: Literal["key", "event_time"] = Field(
        "key", description="event_time gives history in its true order; needs an index on that column"
    )
    fields: TransactionFields


class Labels(Table):
    """Where labels are: another table, or (without `table`) a column of the transaction's own row."""

    column: str | None = Field(
        None, min_length=1, description="own row: the column that says fraud; short for fields.fraud"
    )
    fields: LabelFields = Field(default_factory=LabelFields)


class Resolutions(Table):
    """Where step-up results and analysts' decisions are."""

    fields: ResolutionFields


class Limits(Spec):
    """When to stop, and how much may be under way."""

    dead_letter_ratio: float = Field(
        0.5, gt=0, le=1, description="share of bad rows among the last ratio_rows that stops"
    )
    ratio_rows: int = Field(1000, ge=10, le=1_000_000, description="rows that the ratio looks back on")
    dead_letters_in_a_row: int = Field(200, ge=1, le=1_000_000, description="this many bad rows in a row stop")
    in_flight_messages: int = Field(10_000, ge=1, le=1_000_000, description="sent, not yet confirmed by Kafka")
    in_flight_bytes: int = Field(32 * 1024 * 1024, ge=65_536, le=2**31, description="sent, not yet confirmed by Kafka")
    source_down_s: Seconds = Field(
        900.0, description="the source may be away for so long before the connector gives up"
    )


class ConnectorConfig(Spec):
    """A whole connector file."""

    name: str = Field(pattern=NAME, description="names the connector's positions and metrics")
    source: Annotated[MysqlServer | MongodbServer | Files, Field(discriminator="kind")]
    transactions: Transactions
    labels: list[Labels] = Field(default_factory=list)
    resolutions: list[Resolutions] = Field(default_factory=list)
    on_dead_position: Literal["fail", "resnapshot"] = Field(
        "fail", description="when the source no longer has the saved position: stop and say so, or read all again"
    )
    limits: Limits = Field(default_factory=Limits)

    def list_tables(self) -> list[Table]:
        """Every table that is read, transactions first, each once."""
        sections: list[Table] = [self.transactions, *self.labels, *self.resolutions]
        named = {section.name: section for section in reversed(sections) if section.name}
        return sorted(named.values(), key=lambda section: section is not named.get(self.transactions.name))

    def get_key_column(self, section: Table) -> str:
        """Column that names a row of `section`."""
        if section.key:
            return section.key
        if self.source.kind == "mongodb":
            return "_id"
        if isinstance(section, Transactions):
            return section.fields.transaction_id.list_names()[0]
        return self.get_key_column(self.transactions)

    def has_tokens(self) -> bool:
        """Whether any field becomes a token."""
        fields: list[Spec] = [self.transactions.fields, *(section.fields for section in self.resolutions)]
        specs = (getattr(each, name) for each in fields for name in type(each).model_fields)
        return any(getattr(spec, "tokenise", False) for spec in specs)

    def compute_fingerprint(self) -> str:
        """Changes whenever what is read or how it is mapped changes; secrets play no part."""
        parts = self.model_dump_json(include={"transactions", "labels", "resolutions"})
        return hashlib.sha256(parts.encode()).hexdigest()[:16]


def parse(text: str, where: str, *, name: str | None = None) -> ConnectorConfig:
    """The connector file `text`; raises ConfigurationError with every fault and its line.

    Args:
        text: YAML.
        where: The file's name, for the faults.
        name: The connector's name where the file gives none (the file's stem).
    """
    document = Document(text, where)
    values = dict(expect_mapping(document))
    if name is not None:
        values.setdefault("name", name)
    faults = list(document.faults)
    try:
        config: ConnectorConfig | None = TypeAdapter(ConnectorConfig).validate_python(values)
    except ValidationError as error:
        config = None
        faults += [document.describe_fault(path, message) for path, message in _worded(error)]
    if config is not None:
        faults += [document.describe_fault(path, message) for path, message in find_semantic_faults(config)]
    if faults or config is None:
        raise ConfigurationError(sorted(faults, key=_line_of))
    return config


def _line_of(fault: str) -> int:
    return next((int(part) for part in fault.split(":") if part.isdecimal()), 0)


def _worded(error: ValidationError) -> Iterator[tuple[Path_, str]]:
    """Each fault of pydantic with its place, without the offending value (it may be a secret)."""
    for fault in error.errors(include_input=False, include_url=False):
        place = tuple(step for step in fault["loc"] if step not in ("mysql", "mongodb", "file"))
        message = describe_fault(fault)
        if fault["type"] == "extra_forbidden":
            message = "no such setting here; `tillguard connector fields` lists them"
        elif fault["type"] == "missing":
            message = "is missing"
        yield place, message[:1].lower() + message[1:]


def find_semantic_faults(config: ConnectorConfig) -> Iterator[tuple[Path_, str]]:
    """What the types alone cannot see: which sections fit which kind of source."""
    word = {"mysql": "table", "mongodb": "collection"}.get(config.source.kind)
    sections: list[tuple[Path_, Table]] = [(("transactions",), config.transactions)]
    sections += [(("labels", i), section) for i, section in enumerate(config.labels)]
    sections += [(("resolutions", i), section) for i, section in enumerate(config.resolutions)]
    for path, section in sections:
        yield from _place_faults(path, section, word)
    for i, labels in enumerate(config.labels):
        yield from _label_faults(("labels", i), labels)
    if (
        config.transactions.snapshot_order == "event_time"
        and len(config.transactions.fields.event_time.list_names()) != 1
    ):
        yield ("transactions", "snapshot_order"), "event_time is not one column; order by key"
    if config.transactions.fields.transaction_id.constant is not None:
        yield ("transactions", "fields", "transaction_id"), "a constant cannot name transactions"


def _place_faults(path: Path_, section: Table, word: str | None) -> Iterator[tuple[Path_, str]]:
    own_row = isinstance(section, Labels) and not section.name
    if section.table and section.collection:
        yield (*path, "collection"), "give table or collection, not both"
    elif word is None and section.name:
        yield path, "a file has no tables; leave `table` out"
    elif word == "table" and section.collection:
        yield (*path, "collection"), "MySQL has tables: write `table`"
    elif word == "collection" and section.table:
        yield (*path, "table"), "MongoDB has collections: write `collection`"
    elif word is not None and not section.name and not own_row:
        yield path, f"`{word}` is missing"
    if word is None and isinstance(section, Resolutions):
        yield path, "a file cannot carry resolutions"


def _label_faults(path: Path_, labels: Labels) -> Iterator[tuple[Path_, str]]:
    if (labels.column is None) == (labels.fields.fraud is None):
        yield path, "say what is fraud: either `column: NAME` or `fields: {fraud: …}`"
    if labels.name and labels.fields.transaction_id is None:
        yield (*path, "fields"), "transaction_id is missing: which column says which transaction it is?"
    if not labels.name and labels.fields.transaction_id is not None:
        yield (
            (*path, "fields", "transaction_id"),
            "a label in the transaction's own row has its id already; leave this out",
        )
    if labels.name and labels.fields.label_time is not None and labels.fields.label_time.after_days is not None:
        yield (
            (*path, "fields", "label_time"),
            "after_days counts from the transaction, so it fits labels in its own row only",
        )


def list_fields() -> list[tuple[str, str, str]]:
    """Every canonical field as (section, name, text), for `tillguard connector fields`."""
    sections: dict[str, type[Spec]] = {
        "transactions.fields": TransactionFields,
        "labels[].fields": LabelFields,
        "resolutions[].fields": ResolutionFields,
    }
    return [
        (section, name, info.description or "")
        for section, model in sections.items()
        for name, info in model.model_fields.items()
    ]


def build_schema() -> dict[str, Any]:
    """JSON Schema of connector files, for editors."""
    return ConnectorConfig.model_json_schema()
