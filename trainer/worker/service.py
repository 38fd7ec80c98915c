"""The long-running trainer's loop: Kafka → examples store → outcomes, schedule → training process, alarms.

Invariant: offsets are committed only after the store has committed what stood before them, so a kill at any moment loses no
label; what is read again changes nothing there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import structlog
from kafka import TopicPartition
from kafka.errors import CommitFailedError, KafkaError, UnsupportedCodecError

from contract.clock import Clock
from contract.errors import ConfigurationError, FencedError, TransientError
from contract.metrics import Metrics
from contract.settings import Settings
from contract.topics import DEAD_LETTERS, FEATURES, LABELS
from runtime.kafka.producer import Outlet
from runtime.locks import HeldLock
from trainer.examples.intake import Batch, Intake, Message, encode_letters
from trainer.examples.store import ExampleStore
from trainer.feeds.outcome_feed import OutcomeFeed
from trainer.learning.training_attempt import Attempt
from trainer.worker import alarms
from trainer.worker.schedule import Schedule
from trainer.worker.training_process import Answer, Failed, Learner

BATCH_MAX = 500
"""Messages that are read, stored and committed together."""
POLL_S = 0.2
LAG_EVERY_S = 5.0
PRUNE_EVERY_S = 600.0
PRUNE_EVERY_SHARE = 0.02
"""Of examples_max, taken in since the last pruning."""
UNREADABLE = "a topic holds records packed by lz4, zstd or snappy: install the package lz4, zstandard or python-snappy, then start again"
BACKOFF_S, BACKOFF_MAX_S = 0.5, 15.0
SILENT_S = 60.0
GRACE_S = 300.0
"""Beyond twice training_s_max (for a training by hand that it waits for, and its own), for reading, export and publication; then the
training process is ended."""

log = structlog.get_logger()


@dataclass(slots=True)
class Vitals:
    """Written by the loop, read by the web page and the heartbeat; single values, so no lock is needed."""

    kafka_spoke_s: float
    store_fault: str = ""
    lag: int | None = None
    """Feature records and labels not yet taken in; None before it was asked."""
    training: bool = False

    def list_ailments(self, now_s: float) -> list[str]:
        """What is wrong, each with its remedy; empty when the trainer is well.

        A training that failed is an alarm and no ailment: a restart, which an orchestrator may answer with, would not fix it.
        """
        found = []
        if now_s - self.kafka_spoke_s > SILENT_S:
            found.append(f"Kafka has not answered for {now_s - self.kafka_spoke_s:.0f} s; is the broker up?")
        if self.store_fault:
            found.append(f"{self.store_fault}; what comes waits on Kafka until the database takes it")
        return found


@dataclass(slots=True)
class _Training:
    """How trainings stand."""

    new_labels: int
    began_s: float
    """Monotonic time of the last attempt, or of the start."""
    tried_at: int = 0


@dataclass(slots=True)
class TrainerWorker:
    """The loop; used by one thread."""

    settings: Settings
    store: ExampleStore
    consumer: Any
    learner: Learner
    outlet: Outlet
    alone: HeldLock
    """No other process is this retailer's trainer while it is held."""
    clock: Clock
    metrics: Metrics
    stop: Event
    vitals: Vitals
    _intake: Intake = field(init=False)
    _schedule: Schedule = field(init=False)
    _training: _Training = field(init=False)
    _outcomes: OutcomeFeed = field(init=False)
    _lag_read_s: float = 0.0
    _pruned_s: float = 0.0
    _taken: int = 0

    def __post_init__(self) -> None:
        retailer, trainer = self.settings.retailer, self.settings.trainer
        self._intake = Intake(retailer, FEATURES.name(retailer), LABELS.name(retailer))
        self._schedule = Schedule(trainer.train_every_labels, trainer.train_every_minutes * 60)
        self._training = _Training(self.store.count_new_labels(), self.clock.monotonic_s())
        self._outcomes = OutcomeFeed(self.settings, self.store, self.clock, self.outlet)
        self._pruned_s = self.clock.monotonic_s()

    def run(self) -> None:
        """Until asked to stop; raises TillguardError for what waiting cannot fix."""
        self._show_store()
        while not self.stop.is_set():
            self._tell_due()
            messages = self._read()
            if messages:
                self._take(messages)
            self._observe_lag()
            self._train()
            self._prune()

    def _read(self) -> list[Message]:
        try:
            found = self.consumer.poll(timeout_ms=int(POLL_S * 1000), max_records=BATCH_MAX)
        except UnsupportedCodecError:
            # The client would continue in silence and never give these records.
            raise ConfigurationError([UNREADABLE]) from None
        except KafkaError as error:
            log.warning("kafka_not_read", reason=type(error).__name__)
            self.stop.wait(BACKOFF_S)
            return []
        if found:
            self.vitals.kafka_spoke_s = self.clock.monotonic_s()
        return [
            Message(record.topic, record.partition, record.offset, record.key, record.value)
            for records in found.values()
            for record in records
        ]

    def _take(self, messages: Sequence[Message]) -> None:
        """Stores the batch, then commits its offsets; insists until the store takes it, or the trainer is to stop."""
        batch = self._intake.read_batch(messages, self.clock.now())
        pause_s = BACKOFF_S
        while True:
            try:
                self._keep(batch)
                break
            except TransientError as error:
                self.vitals.store_fault = str(error)
                log.warning("examples_not_stored", reason=str(error), messages=len(messages), again_in_s=pause_s)
                if self.stop.wait(pause_s):
                    return  # not committed: read again at the next start
                pause_s = min(2 * pause_s, BACKOFF_MAX_S)
        self.vitals.store_fault = ""
        self._commit()
        self._taken += len(batch.records)
        self._count(batch)

    def _keep(self, batch: Batch) -> None:
        if batch.letters:
            self.outlet.deliver(DEAD_LETTERS.name(self.settings.retailer), encode_letters(batch.letters))
        if batch.forgotten:
            self.store.forget(batch.forgotten)
        self._training.new_labels += self.store.put(batch.records, batch.labels)
        # Told again when the batch is read again after a crash: workers apply an outcome once.
        touched = [record.transaction_id for record in batch.records] + [label.transaction_id for label in batch.labels]
        self._outcomes.tell(touched)

    def _tell_due(self) -> None:
        try:
            self._outcomes.begin()
            self._outcomes.send_due()
        except TransientError as error:
            log.warning("outcomes_not_told", reason=str(error))
            self.stop.wait(BACKOFF_S)

    def _commit(self) -> None:
        try:
            self.consumer.commit()
        except CommitFailedError:
            log.info("offsets_not_committed", reason="the partitions went to another trainer; they are read again")
        except KafkaError as error:
            log.warning("offsets_not_committed", reason=type(error).__name__, remedy="the next commit covers them")

    def _count(self, batch: Batch) -> None:
        retailer = self.settings.retailer
        kinds = {"features": len(batch.records), "labels": len(batch.labels), "forgotten": len(batch.forgotten)}
        for kind, count in kinds.items():
            self.metrics.add("tillguard_trainer_ingested_total", count, retailer=retailer, kind=kind)
        for _, letter in batch.letters:
            log.warning("dead_letter", source=letter.source, position=letter.position, reason=letter.reason)
            self.metrics.add("tillguard_trainer_dead_letters_total", retailer=retailer, reason=letter.reason)
        self._show_labels()

    def _observe_lag(self) -> None:
        now_s = self.clock.monotonic_s()
        if now_s - self._lag_read_s < LAG_EVERY_S:
            return
        self._lag_read_s = now_s
        if not self.alone.is_still_held():
            raise FencedError(f"the lock of {self.settings.retailer}'s trainer was lost; another trainer may run now")
        try:
            partitions: list[TopicPartition] = list(self.consumer.assignment())
            ends = self.consumer.end_offsets(partitions) if partitions else {}
            lag = sum(max(0, ends[each] - self.consumer.position(each)) for each in partitions)
        except KafkaError as error:
            log.warning("kafka_not_read", reason=type(error).__name__)
            return
        if partitions:
            self.vitals.kafka_spoke_s, self.vitals.lag = self.clock.monotonic_s(), lag
            self.metrics.set("tillguard_trainer_lag_messages", lag, retailer=self.settings.retailer)

    def _train(self) -> None:
        """Begins a training that is due, and takes the answer of one that ended; never waits for it."""
        state, now_s = self._training, self.clock.monotonic_s()
        answer = self.learner.take_answer()
        if answer is None and self.learner.busy:
            limit_s = 2 * self.settings.trainer.training_s_max + GRACE_S
            if now_s - state.began_s > limit_s:
                answer = self.learner.abandon(f"it took more than {limit_s:.0f} s and was ended")
        if answer is not None:
            self._ended(answer)
        if not self.learner.busy and self._schedule.is_due(
            state.new_labels, now_s - state.began_s, tried_at=state.tried_at
        ):
            log.info("training_begins", new_labels=state.new_labels)
            state.began_s, state.tried_at = now_s, state.new_labels
            self.learner.begin()
        self.vitals.training = self.learner.busy

    def _ended(self, answer: Answer) -> None:
        outcome = "failed" if isinstance(answer, Failed) else answer.outcome
        retailer, metrics = self.settings.retailer, self.metrics
        log.info("training_ended", outcome=outcome, **_told(answer))
        metrics.add("tillguard_trainer_trainings_total", retailer=retailer, outcome=outcome)
        if isinstance(answer, Attempt) and answer.counts:
            frauds = sum(count for _, count in answer.counts.values())
            genuine = sum(count for count, _ in answer.counts.values()) - frauds
            metrics.set("tillguard_trainer_examples", frauds, retailer=retailer, label="fraud")
            metrics.set("tillguard_trainer_examples", genuine, retailer=retailer, label="genuine")
            metrics.set("tillguard_trainer_training_seconds", sum(answer.seconds.values()), retailer=retailer)
        if outcome == "published":
            metrics.add("tillguard_trainer_published_total", retailer=retailer)
        self._alarm(answer, outcome)
        try:
            self._training.new_labels = self.store.count_new_labels()
        except TransientError as error:
            self.vitals.store_fault = str(error)
        if outcome in {"published", "refused"}:
            self._training.tried_at = 0
        self._show_store()

    def _alarm(self, answer: Answer, outcome: str) -> None:
        version = answer.model_version if isinstance(answer, Attempt) else None
        now, subject = self.clock.now(), version or self.settings.retailer
        if outcome == "refused" and isinstance(answer, Attempt):
            alarms.raise_alarm(
                self.settings, self.outlet, kind="model_refused", severity="warning", subject=subject,
                text=f"a new model was not put in service: {answer.reason}",
                remedy="the model that serves continues; look at the newest labels and their sources. `tillguard trainer run "
                "--once` tries again and keeps the model, so that `tillguard models promote` can put it in service",
                values=answer.comparison, now=now,
            )  # fmt: skip
        elif outcome == "failed":
            alarms.raise_alarm(
                self.settings, self.outlet, kind="training_failed", severity="critical", subject=subject,
                text=f"a training ended without a model: {answer.reason}",
                remedy="the model that serves continues, labels are kept; the trainer's log says more, and it tries again by itself",
                values={}, now=now,
            )  # fmt: skip

    def _prune(self) -> None:
        trainer, now_s = self.settings.trainer, self.clock.monotonic_s()
        if now_s - self._pruned_s < PRUNE_EVERY_S and self._taken < PRUNE_EVERY_SHARE * trainer.examples_max:
            return
        self._pruned_s, self._taken = now_s, 0
        try:
            gone = self.store.prune(
                examples_max=trainer.examples_max, examples_days=trainer.examples_days, frauds_days=trainer.frauds_days
            )
        except TransientError as error:
            self.vitals.store_fault = str(error)
            return
        if gone:
            log.info("examples_pruned", count=gone)
        self._show_store()

    def _show_store(self) -> None:
        try:
            counts = self.store.count()
        except TransientError as error:
            self.vitals.store_fault = str(error)
            return
        for label, count in counts._asdict().items():
            self.metrics.set("tillguard_trainer_stored_examples", count, retailer=self.settings.retailer, label=label)
        self._show_labels()

    def _show_labels(self) -> None:
        self.metrics.set(
            "tillguard_trainer_new_labels_messages", self._training.new_labels, retailer=self.settings.retailer
        )


def _told(answer: Answer) -> dict[str, object]:
    if isinstance(answer, Failed):
        return {"reason": answer.reason}
    return {
        "reason": answer.reason,
        "model_version": answer.model_version,
        "base": answer.base,
        "seconds": {stage: round(seconds, 1) for stage, seconds in answer.seconds.items()},
    }
