"""Champion and challenger, read back from the topics: shadow scores joined with the feature log and the labels.

Three passes, each up to where its topic ends when the pass begins. Memory is bounded: beyond ROWS_MAX transactions, those are
kept whose id hashes low, so that a transaction is kept or dropped whatever became of it.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np

from contract.clock import to_epoch_ms
from contract.codec import Decoder
from contract.errors import InvalidEventError
from contract.events import Label
from contract.features import FeatureRecord
from contract.models import ShadowScore
from contract.money import get_exponent
from contract.settings import Settings
from contract.topics import FEATURES, LABELS, SHADOW_SCORES
from contract.windows import DAY_MS
from runtime.kafka.topic_log import TopicReader
from trainer.decision.compare import Pairs

M = TypeVar("M", bound=msgspec.Struct)
ROWS_MAX = 1_000_000
STOPPED = frozenset({"hold", "block"})
EARLIER = timedelta(hours=1)
"""A record may have been appended a little before the challenge says that it began: clocks differ."""


@dataclass(slots=True)
class _Row:
    """One transaction that the challenger scored."""

    event_time_ms: int
    challenger: float
    champion: float | None
    """None: the challenger answered it itself, as a canary."""
    amount_minor: int | None = None
    stopped: bool = False
    """It was held or blocked, and not let through for control: no label comes by itself."""
    label: tuple[datetime, bool] | None = None


class Found(NamedTuple):
    """What can be compared, and what was left out."""

    pairs: Pairs
    """Scored by both, truth known."""
    canary: Pairs
    """Answered by the challenger itself, truth known; its `champion` scores are NaN."""
    scored: int
    """Transactions that the challenger scored."""
    canary_answers: int
    labelled: int
    """Of the pairs, those with a label of their own; the others count as genuine by their age."""
    unripe: int
    """Without a label, younger than the label delay."""
    stopped: int
    """Held or blocked without a label: nobody knows what they would have been."""
    kept_of: int
    """One in this many transactions was kept."""
    answered: int = 0
    """Feature records of what the champion answered meanwhile, scored next to or not."""


@dataclass(slots=True)
class _Rows:
    by_id: dict[str, _Row] = field(default_factory=dict)
    modulus: int = 1

    def wants(self, transaction_id: str) -> bool:
        return zlib.crc32(transaction_id.encode()) % self.modulus == 0

    def put(self, transaction_id: str, row: _Row) -> None:
        self.by_id[transaction_id] = row
        while len(self.by_id) > ROWS_MAX:
            self.modulus *= 2
            self.by_id = {kept: one for kept, one in self.by_id.items() if self.wants(kept)}


def find(
    settings: Settings,
    champion: str,
    challenger: str,
    *,
    since: datetime | None = None,
    label_delay_days: float | None = None,
    progress: Callable[[int], None] | None = None,
) -> Found:
    """Everything that `challenger` scored next to `champion`; raises TransientError where Kafka does not answer.

    Args:
        settings: the retailer's.
        champion: version of the model that answered.
        challenger: version of the model next to it.
        since: when the challenge began; older records are not looked at. None: all that the topics hold.
        label_delay_days: a transaction without a label counts as genuine once the newest is so much younger; from the
            settings where None.
        progress: told how many records were read.
    """
    reader = TopicReader(settings.kafka)
    after = None if since is None else since - EARLIER
    told = progress or (lambda _: None)
    rows = _Rows()
    for score in _messages(reader, SHADOW_SCORES.name(settings.retailer), Decoder(ShadowScore), after, told):
        if (score.model_version, score.champion_version) == (challenger, champion) and rows.wants(score.transaction_id):
            row = _Row(to_epoch_ms(score.event_time), score.score, score.champion_score)
            rows.put(score.transaction_id, row)
    answered = 0
    for record in _messages(reader, FEATURES.name(settings.retailer), Decoder(FeatureRecord), after, told):
        answered += record.model_version == champion
        _add_record(rows, record, challenger)
    now = datetime.now(UTC)
    for label in _messages(reader, LABELS.name(settings.retailer), Decoder(Label), None, told):
        _add_label(rows, label, now)
    delay_days = settings.trainer.label_delay_days if label_delay_days is None else label_delay_days
    return _found(rows, delay_days, 10.0 ** get_exponent(settings.base_currency))._replace(answered=answered)


def _add_record(rows: _Rows, record: FeatureRecord, challenger: str) -> None:
    row = rows.by_id.get(record.transaction_id)
    if row is None and record.model_version == challenger and rows.wants(record.transaction_id):
        row = _Row(to_epoch_ms(record.event_time), record.score, None)
        rows.put(record.transaction_id, row)
    if row is not None:
        row.amount_minor = record.amount_base_minor
        row.stopped = record.decision in STOPPED and not record.control


def _add_label(rows: _Rows, label: Label, now: datetime) -> None:
    """The latest label_time holds, of equals what came last; a label of the future does not exist yet."""
    row = rows.by_id.get(label.transaction_id)
    if row is not None and label.label_time <= now and (row.label is None or label.label_time >= row.label[0]):
        row.label = (label.label_time, label.fraud)


def _found(rows: _Rows, delay_days: float, minor_per_major: float) -> Found:
    everything = list(rows.by_id.values())
    newest_ms = max((row.event_time_ms for row in everything), default=0)
    ripe_ms = newest_ms - delay_days * DAY_MS
    waiting = [row for row in everything if row.label is None and not row.stopped and row.event_time_ms > ripe_ms]
    stopped = [row for row in everything if row.label is None and row.stopped]
    known = [row for row in everything if row.label or (not row.stopped and row.event_time_ms <= ripe_ms)]
    paired = [row for row in known if row.champion is not None]
    return Found(
        pairs=_pairs(paired, minor_per_major),
        canary=_pairs([row for row in known if row.champion is None], minor_per_major),
        scored=len(everything),
        canary_answers=sum(row.champion is None for row in everything),
        labelled=sum(row.label is not None for row in paired),
        unripe=len(waiting),
        stopped=len(stopped),
        kept_of=rows.modulus,
    )


def _pairs(rows: list[_Row], minor_per_major: float) -> Pairs:
    nan = float("nan")
    return Pairs(
        champion=np.array([nan if row.champion is None else row.champion for row in rows], dtype=np.float64),
        challenger=np.array([row.challenger for row in rows], dtype=np.float64),
        fraud=np.array([row.label is not None and row.label[1] for row in rows], dtype=np.bool_),
        amount=np.array([nan if row.amount_minor is None else row.amount_minor for row in rows]) / minor_per_major,
    )


def _messages(
    reader: TopicReader, topic: str, decoder: Decoder[M], since: datetime | None, told: Callable[[int], None]
) -> Iterator[M]:
    """Every usable message; what cannot be decoded was counted and kept as a dead letter by whoever it was meant for."""
    for number, record in enumerate(reader.read_until_now(topic, since), 1):
        if number % 10_000 == 0:
            told(number)
        if record.value is not None:
            try:
                yield decoder.decode(record.value)
            except InvalidEventError:
                continue
