"""Tells the scoring workers what became known: the outcomes that the risk of entities needs before a model that uses it serves.

Whoever puts a model in service calls `publish` first: `trainer run`, `train` from the topics, `train` from a file. The topic is read
before it is written, so the same again writes nothing.
"""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from datetime import datetime

import structlog

from contract.clock import Clock, to_epoch_ms
from contract.codec import Decoder
from contract.errors import InvalidEventError
from contract.risk import KnownOutcome
from contract.settings import Settings
from contract.topics import OUTCOMES
from runtime.kafka import topics
from runtime.kafka.producer import Outlet, SharedProducer
from runtime.kafka.topic_log import TopicReader
from trainer.examples.label_log import LabelLog
from trainer.examples.outcomes import (
    PastTransaction,
    SeenTransaction,
    compute_horizon_begin_ms,
    derive_outcome,
    encode_outcomes,
    find_missing,
)
from trainer.examples.store import ExampleStore

DUE_EVERY_S = 10.0

log = structlog.get_logger()


def read_from_store(settings: Settings, store: ExampleStore, now: datetime) -> list[KnownOutcome]:
    """What the examples store knows at `now` and can still act on a risk. Raises TransientError."""
    newest_ms = store.read_watermark_ms()
    if newest_ms is None:
        return []
    begins_ms = compute_horizon_begin_ms(newest_ms, settings.trainer.label_delay_days)
    return store.read_outcomes(store.list_labelled_since(begins_ms), now)


def read_from_history(
    settings: Settings, recent: dict[str, PastTransaction], labels: LabelLog, as_of: datetime
) -> list[KnownOutcome]:
    """The same of a replayed history.

    Args:
        settings: the retailer's.
        recent: its newest transactions, oldest first, as `tillguard.history.passes.HistoryPass.list_recent` gives them.
        labels: all labels of the history, as `tillguard.history.reading.Found.log`.
        as_of: labels from after this moment are not told: they are not known yet.
    """
    if not recent:
        return []
    newest_ms = recent[next(reversed(recent))].event_time_ms
    begins_ms = compute_horizon_begin_ms(newest_ms, settings.trainer.label_delay_days)
    seen = [SeenTransaction(name, *recent[name]) for name in labels.list_called_fraud() if name in recent]
    told = (
        derive_outcome(settings.retailer, each, labels.list_revisions(each.transaction_id), to_epoch_ms(as_of))
        for each in seen
        if each.event_time_ms >= begins_ms
    )
    return [each for each in told if each is not None]


def publish(settings: Settings, wanted: Iterable[KnownOutcome], now: datetime, outlet: Outlet | None = None) -> int:
    """Sends what the topic does not say yet; gives how many that were. Raises TransientError, and may then be repeated.

    `outlet`: the process's, where it has one already.
    """
    topics.ensure(settings, (OUTCOMES,))
    topic = OUTCOMES.name(settings.retailer)
    present, erased = _present(settings, topic)
    news = find_missing((each for each in wanted if each.transaction_id not in erased), present, to_epoch_ms(now))
    if news:
        with (
            nullcontext(outlet) if outlet else SharedProducer(settings.kafka, f"{settings.retailer}-outcomes") as opened
        ):
            opened.deliver(topic, encode_outcomes(news))
    log.info("outcomes_published", count=len(news))
    return len(news)


class OutcomeFeed:
    """What a running trainer tells: each transaction that something came for, and labels whose time comes. Used by one thread."""

    def __init__(self, settings: Settings, store: ExampleStore, clock: Clock, outlet: Outlet) -> None:
        self._settings, self._store, self._clock, self._outlet = settings, store, clock, outlet
        self._told_until, self._looked_s = clock.now(), clock.monotonic_s()
        self._begun = False

    def begin(self) -> None:
        """Once, at the start: everything that the topic lacks. Raises TransientError, and is then to be called again."""
        if not self._begun:
            now = self._clock.now()
            publish(self._settings, read_from_store(self._settings, self._store, now), now, self._outlet)
            self._begun = True

    def tell(self, transaction_ids: Sequence[str]) -> None:
        """What is known of these, again where it was told before: workers apply an outcome once. Raises TransientError."""
        known = self._store.read_outcomes(transaction_ids, self._clock.now())
        if known:
            self._outlet.deliver(OUTCOMES.name(self._settings.retailer), encode_outcomes(known))

    def send_due(self) -> None:
        """Every DUE_EVERY_S: labels whose label_time has come since. Raises TransientError, and is then to be called again."""
        now, now_s = self._clock.now(), self._clock.monotonic_s()
        if now_s - self._looked_s >= DUE_EVERY_S:
            self.tell(self._store.list_labelled_between(self._told_until, now))
            self._told_until, self._looked_s = now, now_s


def _present(settings: Settings, topic: str) -> tuple[dict[str, KnownOutcome], set[str]]:
    """The newest outcome of every transaction on the topic, and the transactions that were erased from it."""
    decoder, found, erased = Decoder(KnownOutcome), dict[str, KnownOutcome](), set[str]()
    for record in TopicReader(settings.kafka).read_until_now(topic):
        name = (record.key or b"").decode(errors="replace")
        if record.value is None:
            found.pop(name, None)
            erased.add(name)
            continue
        with suppress(InvalidEventError):  # the workers made a dead letter of it
            found[name] = decoder.decode(record.value)
            erased.discard(name)
    return found, erased
