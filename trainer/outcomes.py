"""What became known of transactions, for the scoring workers: messages of the outcomes topic. Pure.

Only frauds act on the risk of entities, so a genuine transaction is told of only where it was called a fraud before. The same
again does no harm: workers apply an outcome once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from contract.clock import from_epoch_ms
from contract.features import plain, plain_columns
from contract.risk import KnownOutcome
from trainer.labels import Revision, newest
from trainer.widen import widened


class Seen(NamedTuple):
    """What serving recorded of a transaction."""

    transaction_id: str
    event_time_ms: int
    feature_schema: str
    features: bytes
    entities: bytes
    """Empty in records from before feature schema v2: there is nothing to tell then."""


def outcome(retailer: str, seen: Seen, revisions: Sequence[Revision]) -> KnownOutcome | None:
    """What to tell of a transaction with these labels; None where nothing acts on any risk."""
    held = newest(revisions)
    if held is None or len(seen.entities) < 2 or not any(revision.fraud for revision in revisions):
        return None
    row = widened(seen.features, seen.feature_schema)
    return KnownOutcome(
        transaction_id=seen.transaction_id,
        retailer=retailer,
        event_time=from_epoch_ms(seen.event_time_ms),
        entities=seen.entities,
        fraud=held.fraud,
        plain=held.fraud and row is not None and plain(*(float(row[column]) for column in plain_columns())),
        label_time=from_epoch_ms(held.label_time_ms),
    )


def encoded(outcomes: Sequence[KnownOutcome]) -> list[tuple[bytes, bytes]]:
    """(key, value) for the outcomes topic."""
    return [(each.transaction_id.encode(), msgspec.json.encode(each)) for each in outcomes]
