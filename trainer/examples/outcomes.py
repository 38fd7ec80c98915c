"""What became known of transactions, for the scoring workers: messages of the outcomes topic. Pure.

Only frauds act on the risk of entities, so a genuine transaction is told of only where it was called a fraud before. The same
again does no harm: workers apply an outcome once. No label acts before its label_time.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from contract.clock import from_epoch_ms, to_epoch_ms
from contract.risk import TILE_MS, KnownOutcome, count_horizon_tiles
from trainer.examples.labels import Revision, find_newest, select_known


class PastTransaction(NamedTuple):
    """What a later label needs of a transaction."""

    event_time_ms: int
    entities: bytes
    plain: bool


class SeenTransaction(NamedTuple):
    """What serving, or a replay, saw of a transaction."""

    transaction_id: str
    event_time_ms: int
    entities: bytes
    """Empty in records from before feature schema v2: there is nothing to tell then."""
    plain: bool
    """Its amount would not explain a fraud (contract/risk.py)."""


def derive_outcome(
    retailer: str, seen: SeenTransaction, revisions: Sequence[Revision], as_of_ms: int
) -> KnownOutcome | None:
    """What to tell of a transaction with these labels at `as_of_ms`; None where nothing acts on any risk.

    A label from after that moment says nothing yet. But it makes a genuine label worth telling: should the workers have
    been told of that fraud, the genuine label takes it back.
    """
    held = find_newest(select_known(revisions, as_of_ms))
    if held is None or len(seen.entities) < 2 or not any(revision.fraud for revision in revisions):
        return None
    return KnownOutcome(
        transaction_id=seen.transaction_id,
        retailer=retailer,
        event_time=from_epoch_ms(seen.event_time_ms),
        entities=seen.entities,
        fraud=held.fraud,
        plain=held.fraud and seen.plain,
        label_time=from_epoch_ms(held.label_time_ms),
    )


def compute_horizon_begin_ms(newest_ms: int, label_delay_days: float) -> int:
    """The event_time from which on a fraud acts on the risk of entities for a transaction at `newest_ms`."""
    return newest_ms - count_horizon_tiles(label_delay_days) * TILE_MS


def find_missing(
    wanted: Iterable[KnownOutcome], present: Mapping[str, KnownOutcome], as_of_ms: int
) -> list[KnownOutcome]:
    """Those of `wanted` that say something else than `present`, which the topic holds by transaction_id.

    What the topic knows from a later label stands, unless that label is dated after `as_of_ms`.
    """
    return [each for each in wanted if _is_news(each, present.get(each.transaction_id), as_of_ms)]


def _is_news(wanted: KnownOutcome, told: KnownOutcome | None, as_of_ms: int) -> bool:
    if told is None:
        return True
    if (wanted.fraud, wanted.entities) == (told.fraud, told.entities):
        return False
    return wanted.label_time >= told.label_time or to_epoch_ms(told.label_time) > as_of_ms


def encode_outcomes(outcomes: Sequence[KnownOutcome]) -> list[tuple[bytes, bytes]]:
    """(key, value) for the outcomes topic."""
    return [(each.transaction_id.encode(), msgspec.json.encode(each)) for each in outcomes]
