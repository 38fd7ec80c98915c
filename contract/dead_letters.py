"""Messages that could not be used, each with the coordinates that find it again. Topic `<retailer>.dead-letters.v1`."""

from typing import Annotated

from msgspec import Meta, Struct

from contract.events import Moment, RetailerName

REASONS = {
    "malformed": "not a JSON document of the message's form",
    "encoding": "text that is not valid UTF-8",
    "field_missing": "a required field is absent or null",
    "field_invalid": "a field has the wrong type or lies outside its range",
    "amount_invalid": "the amount is not a number, negative or beyond belief",
    "currency_unknown": "no exchange rate is configured for the currency",
    "time_future": "event_time is more than the tolerance ahead of the clock",
    "time_too_old": "event_time lies before earliest_event_time",
    "oversized": "the document is larger than the limit",
    "key_missing": "the source row has no key",
    "retailer_mismatch": "the message names another retailer",
    "conflict": "the transaction was seen before with other content",
    "not_resolvable": "the resolution names a transaction that is not held, flagged or blocked",
    "unseen": "the source's log tells of a change whose rows it does not show",
    "schema_changed": "a mapped column or path vanished or changed its type",
}
"""Every reason a dead letter may give."""


class DeadLetter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message that could not be used. `payload` holds it as far as it may be kept."""

    retailer: RetailerName
    part: Annotated[str, Meta(max_length=64)]
    """`connector:<name>`, `scoring` or `trainer`."""
    reason: Annotated[str, Meta(max_length=64)]
    """A code of REASONS."""
    detail: Annotated[str, Meta(max_length=1024)]
    """What is wrong, naming fields, never their values."""
    source: Annotated[str, Meta(max_length=256)]
    """Table, collection, file or topic."""
    position: Annotated[str, Meta(max_length=512)]
    """Binlog or oplog position, row number, or `partition:offset`."""
    failed_at: Moment
    key: Annotated[str, Meta(max_length=256)] | None = None
    """The source row's primary key or the transaction_id, where known; a token where the key is personal data."""
    payload: bytes | None = None
    """The message as it stood on the topic (scoring), tokens only; a connector never copies a raw row here."""
