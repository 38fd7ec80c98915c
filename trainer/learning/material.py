"""What a training is made on: labelled transactions in three slices, chosen from the examples store or from a replayed file.

Both go through the same rules (trainer.examples.labels): what was stopped and has no label is no example, labels from the future do not
exist, and a source that trusted ones contradict too often is not learned from.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from contract.clock import to_epoch_ms
from contract.errors import TrainingRefusedError
from contract.models import DataRange
from contract.money import get_exponent
from contract.settings import Settings, TrainerSettings
from contract.windows import DAY_MS
from trainer.examples import labels, pool
from trainer.examples.examples import Examples, Split, get_data_range, split
from trainer.examples.label_log import LabelLog
from trainer.examples.spool import Columns, Spool
from trainer.examples.store import ExampleStore

log = structlog.get_logger()

PAGE = 4_000
SILENCE_SAYS_NOTHING = -sys.maxsize
"""As `Terms.ripe_before_ms`: a transaction of a file that has no label is never an example."""
LABELS_ARE_THERE = sys.maxsize
"""As `Terms.as_of_ms`, for labels without a time of their own: whoever holds the file knows them, whenever they became known."""
NOBODY_DECIDED = "allow"
"""What a history's transactions were decided; without a label it is no example whatever was decided."""


class Read(NamedTuple):
    """What was read besides, for the report."""

    transactions: int
    left_out: dict[str, int]
    """Transactions that are no examples, by the reason in words."""
    remarks: tuple[str, ...] = ()
    """Sentences about rows and labels that could not be used, and doubtful times of labels."""


class Material(NamedTuple):
    """What an attempt is made on."""

    parts: Split
    verified: NDArray[np.int8]
    """What trusted sources say of the test slice, as trainer.examples.pool.Outline.verified."""
    data: DataRange
    notes: dict[str, str | int | float | bool]
    """How the slices were chosen, for the manifest."""
    read: Read
    fraud_share: float | None = None
    """Share of frauds among transactions, where the slices hold more than that; None: as in the slices."""


def gather_from_store(settings: Settings, store: ExampleStore, now: datetime) -> Material:
    """Chooses from the store what a training takes; raises TrainingRefusedError where that is too little, TransientError."""
    trainer = settings.trainer
    watermark_ms = store.read_watermark_ms()
    if watermark_ms is None:
        raise TrainingRefusedError("there is no example yet: no transaction was scored under this feature schema")
    # A source can be compared with another only where both told of the same transaction.
    distrusted = _distrusted((known for page in store.read_known(relabelled=True) for known in page), trainer, now)
    ripe_before_ms = watermark_ms - int(trainer.label_delay_days * DAY_MS)
    terms = _terms(trainer, distrusted, as_of_ms=to_epoch_ms(now), ripe_before_ms=ripe_before_ms)
    count = _Count()
    found = pool.build_outline(count.through(store.read_known()), terms)
    if not len(found):
        raise TrainingRefusedError(_nothing_known(count.seen, trainer.label_delay_days))
    chosen = pool.choose(found, newest=trainer.newest_examples, replayed=trainer.replay_examples, seed=trainer.seed)
    gathered = pool.gather(store, found, chosen, 10.0 ** get_exponent(settings.base_currency))
    notes = {"replayed": chosen.replayed, "fraud_share": chosen.fraud_share} | _named(distrusted)
    taken = sum(len(part) for part in gathered.parts)
    left_out = {
        "not known yet (younger than the label delay, stopped without a label, or labelled by distrusted sources)": count.seen
        - len(found),
        "of another feature schema": gathered.left_out,
        "older than the newest and not drawn": len(found) - taken - gathered.left_out,
    }
    return Material(
        gathered.parts,
        gathered.verified,
        _together(gathered.parts),
        notes,
        Read(count.seen, left_out),
        chosen.fraud_share,
    )


def gather_from_history(
    settings: Settings, spool: Spool, told: LabelLog, now: datetime, *, untimed: bool, read: Read
) -> Material:
    """All labelled transactions of a replayed history, split by time; raises TrainingRefusedError where they are too few.

    Args:
        settings: the retailer's.
        spool: holds the features; the slices are views of its files.
        told: every label of the history.
        now: labels from after it do not exist yet.
        untimed: whether labels have no time of their own: then all of them exist, since the file does.
        read: what is known of the reading so far.
    """
    columns, trainer = spool.read_columns(), settings.trainer
    as_of_ms = LABELS_ARE_THERE if untimed else to_epoch_ms(now)
    distrusted: frozenset[str] = frozenset()
    if len(told.list_sources()) > 1:
        distrusted = _distrusted((known for page in split_pages(columns, told) for known in page), trainer, now)
    found = pool.build_outline(
        split_pages(columns, told),
        _terms(trainer, distrusted, as_of_ms=as_of_ms, ripe_before_ms=SILENCE_SAYS_NOTHING),
    )
    if not len(found):
        raise TrainingRefusedError(f"none of its {len(columns.transaction_ids):,} transactions is labelled")
    examples = Examples(
        event_time_ms=found.event_time_ms,
        features=spool.read_features(found.transaction_ids),
        fraud=found.fraud,
        amount=found.amount_minor / 10.0 ** get_exponent(settings.base_currency),
    )
    parts = split(examples)
    left_out = {"without a usable label (they filled windows)": len(columns.transaction_ids) - len(found)}
    return Material(
        parts,
        found.verified[len(found) - len(parts.test) :],
        get_data_range(examples),
        _named(distrusted),
        read._replace(left_out=read.left_out | left_out),
    )


def split_pages(columns: Columns, told: LabelLog) -> Iterator[list[labels.Known]]:
    """Transactions of a history with their labels, in event-time order. Pure.

    Each array of `columns` has the shape (n,).
    """
    table = zip(
        columns.transaction_ids,
        columns.event_time_ms.tolist(),
        columns.applied_seq.tolist(),
        columns.amount_base_minor.tolist(),
        strict=True,
    )
    page: list[labels.Known] = []
    for name, time_ms, applied_seq, amount in table:
        page.append(labels.Known(name, time_ms, applied_seq, NOBODY_DECIDED, False, amount, told.list_revisions(name)))
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


class _Count:
    """How many transactions went through."""

    def __init__(self) -> None:
        self.seen = 0

    def through(self, found: Iterable[Sequence[labels.Known]]) -> Iterator[Sequence[labels.Known]]:
        for page in found:
            self.seen += len(page)
            yield page


def _terms(trainer: TrainerSettings, distrusted: frozenset[str], *, as_of_ms: int, ripe_before_ms: int) -> labels.Terms:
    return labels.Terms(
        as_of_ms=as_of_ms,
        ripe_before_ms=ripe_before_ms,
        unlabelled_weight=trainer.unlabelled_weight,
        trusted_sources=frozenset(trainer.trusted_sources),
        trust_unlabelled=trainer.trust_unlabelled,
        distrusted=distrusted,
    )


def _distrusted(known: Iterable[labels.Known], trainer: TrainerSettings, now: datetime) -> frozenset[str]:
    compared = labels.compute_overlaps(known, frozenset(trainer.trusted_sources), to_epoch_ms(now))
    distrusted = labels.find_distrusted(compared, trainer.disagreement_max)
    for source in sorted(distrusted):
        log.warning("label_source_not_learned_from", source=source, **compared[source]._asdict())
    return distrusted


def _named(distrusted: frozenset[str]) -> dict[str, str | int | float | bool]:
    return {"distrusted_sources": ", ".join(sorted(distrusted))} if distrusted else {}


def _together(parts: Split) -> DataRange:
    ranges = [get_data_range(part) for part in parts]
    return DataRange(
        first=min(each.first for each in ranges),
        last=max(each.last for each in ranges),
        transactions=sum(each.transactions for each in ranges),
        frauds=sum(each.frauds for each in ranges),
    )


def _nothing_known(transactions: int, delay_days: float) -> str:
    return (
        f"none of the {transactions:,} transactions has a label that can be learned from, or is {delay_days:g} days older than "
        "the newest, so none can count as genuine yet; `tillguard train --history topic --label-delay-days 0` takes them all"
    )
