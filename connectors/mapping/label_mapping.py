"""From a row to a Label or a Resolution. Pure."""

from datetime import datetime, timedelta
from typing import Any, Protocol, cast, get_args

from connectors.config.connector_file import ConnectorConfig, Labels, Resolutions
from connectors.config.fields import BooleanField, FieldSpec
from connectors.mapping import readers
from connectors.mapping.readers import Aliases
from connectors.mapping.transaction_mapping import TransactionRule
from connectors.ports import Row
from connectors.values import as_boolean, get_at_path
from contract.codec import Admission
from contract.errors import InvalidEventError
from contract.events import Label, LabelSource, Origin, Resolution, ResolutionKind
from contract.tokens import Tokeniser

LABEL_SOURCES = get_args(LabelSource)
OUTCOMES = get_args(ResolutionKind)


class Feedback(Protocol):
    """What came out of a transaction, told by a row: a label or a resolution."""

    names: set[str]
    """Columns or paths it reads."""

    def read(
        self, row: Row, key: str, origin: Origin, now: datetime, admission: Admission
    ) -> Label | Resolution | None:
        """The message that `row` is; None when it says nothing (yet). Raises InvalidEventError."""
        ...


class LabelRule:
    """One entry of `labels`, compiled."""

    def __init__(
        self, section: Labels, transactions: TransactionRule, *, flat: bool, untimed: timedelta | None = None
    ) -> None:
        """Compiles `section`; `untimed`: how long after its transaction a label of the own row counts as known where it has no time."""
        fields = section.fields
        self._untimed = untimed if not section.name else None
        fraud = fields.fraud or BooleanField(column=section.column)
        self._own_row = not section.name
        self._transactions = transactions
        self._fraud = readers.build_converting_reader("fraud", fraud, as_boolean, flat=flat)
        self._fraud_names = fraud.list_names()
        self._id = (
            readers.build_name_reader("transaction_id", fields.transaction_id, flat=flat)
            if fields.transaction_id
            else transactions.id
        )
        self._source = readers.build_text_reader("source", fields.source, flat=flat) if fields.source else None
        self._default_source: LabelSource = "review" if self._own_row else "chargeback"
        self._kind = readers.build_text_reader("kind", fields.kind, flat=flat) if fields.kind else None
        spec = fields.label_time
        self._after = timedelta(days=spec.after_days) if spec and spec.after_days is not None else None
        self._time = readers.build_time_reader("label_time", spec, flat=flat) if spec and self._after is None else None
        specs: list[FieldSpec | None] = [fraud, fields.transaction_id, fields.source, fields.kind, spec]
        self.names = {name for given in specs if given is not None for name in given.list_names()}

    def read(self, row: Row, key: str, origin: Origin, now: datetime, admission: Admission) -> Label | None:  # noqa: ARG002 - the port's form
        if row.change == "update" and not _changed(row, self._fraud_names if self._own_row else tuple(self.names)):
            return None
        fraud = self._fraud(row.values)
        if fraud is None:
            return None
        transaction_id = self._id(row.values)
        if transaction_id is None:
            raise InvalidEventError("field_missing", "transaction_id: null or empty")
        return Label(
            transaction_id=transaction_id,
            retailer=admission.retailer,
            fraud=fraud,
            source=self._told_by(row),
            label_time=self._known_at(row, now, admission),
            ingest_time=now,
            origin=origin,
            kind=self._kind(row.values) if self._kind else None,
        )

    def _told_by(self, row: Row) -> LabelSource:
        source = self._source(row.values) if self._source else None
        return cast("LabelSource", _one_of("source", source or self._default_source, LABEL_SOURCES))

    def _known_at(self, row: Row, now: datetime, admission: Admission) -> datetime:
        if self._after is not None:
            return self._later(row, self._after)
        moment = _believed("label_time", self._time(row.values, None) if self._time else None, now, admission)
        if moment is not None or self._untimed is None:
            return moment or row.changed_at or now
        return min(now, self._later(row, self._untimed))

    def _later(self, row: Row, delay: timedelta) -> datetime:
        event_time = self._transactions.event_time(row.values, None)
        if event_time is None:
            raise InvalidEventError("field_missing", "event_time: null or empty")
        return event_time + delay


class ResolutionRule:
    """One entry of `resolutions`, compiled."""

    def __init__(self, config: ConnectorConfig, section: Resolutions, tokens: Tokeniser | None, *, flat: bool) -> None:
        fields = section.fields
        self._connector = config.name
        self._transaction = readers.build_name_reader("transaction_id", fields.transaction_id, flat=flat)
        self._outcome = readers.build_text_reader("outcome", fields.outcome, flat=flat)
        self._actor = readers.build_text_reader("actor", fields.actor, flat=flat)
        self._actor_token = (
            readers.build_token_reader("actor", fields.actor, tokens, flat=flat) if fields.actor.tokenise else None
        )
        self._time = (
            readers.build_time_reader("resolved_at", fields.resolved_at, flat=flat) if fields.resolved_at else None
        )
        self._id = (
            readers.build_name_reader("resolution_id", fields.resolution_id, flat=flat)
            if fields.resolution_id
            else None
        )
        specs = [getattr(fields, name) for name in type(fields).model_fields]
        self.names: set[str] = {name for spec in specs if spec is not None for name in spec.list_names()}

    def read(self, row: Row, key: str, origin: Origin, now: datetime, admission: Admission) -> Resolution | None:  # noqa: ARG002 - the port's form
        if row.change == "update" and not _changed(row, tuple(self.names)):
            return None
        outcome = self._outcome(row.values)
        if outcome is None:
            return None
        outcome = _one_of("outcome", outcome, OUTCOMES)
        transaction_id, actor = self._transaction(row.values), self._by(row)
        if transaction_id is None or actor is None:
            raise InvalidEventError("field_missing", "transaction_id or actor: null or empty")
        moment = self._time(row.values, None) if self._time else None
        return Resolution(
            resolution_id=(self._id(row.values) if self._id else None) or f"{self._connector}:{key}:{outcome}",
            transaction_id=transaction_id,
            retailer=admission.retailer,
            outcome=cast("ResolutionKind", outcome),
            actor=actor,
            resolved_at=_believed("resolved_at", moment, now, admission) or row.changed_at or now,
        )

    def _by(self, row: Row) -> str | None:
        aliases: Aliases = {}
        return self._actor_token(row.values, aliases) if self._actor_token else self._actor(row.values)


def _changed(row: Row, names: tuple[str, ...]) -> bool:
    """Whether an update wrote one of `names` with another value, as far as the source can tell."""
    if row.before is not None:
        before = row.before
        return any(get_at_path(before, name) != get_at_path(row.values, name) for name in names)
    return row.touched is None or any(name.partition(".")[0] in row.touched for name in names)


def _one_of(field: str, value: str, allowed: tuple[Any, ...]) -> str:
    if value not in allowed:
        raise InvalidEventError("field_invalid", f"{field}: none of {', '.join(allowed)}; translate it by `values`")
    return value


def _believed(field: str, moment: datetime | None, now: datetime, admission: Admission) -> datetime | None:
    if moment is not None:
        admission.check_time(field, moment, now)
    return moment
