"""What a challenger would have said: it scores the same feature vectors after the answer has left, in a thread of its own.

It never delays or changes an answer. Its queue is bounded, it takes no more than its share of time, and what it cannot do
(a full queue, a challenger that fails or is late, a broker that does not take messages) it drops and counts.
"""

import queue
import threading
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from contract.clock import Clock
from contract.errors import TransientError
from contract.metrics import Metrics
from contract.models import ShadowScore, Thresholds
from contract.verdicts import DECISIONS
from scoring.decision.decide import decide_by_model, round_scores
from scoring.engine.answers import encode, is_history
from scoring.engine.batch import Batch
from scoring.engine.judge import Judgement
from scoring.feeds.ports import BackpressurePublisher
from scoring.ports import EventResult, LateError, Model, ModelFailedError

ROWS_MAX = 8_192
"""Rows that wait at most; at 30 kB for 64 of them some megabytes."""
CHUNK_ROWS = 64
"""Scored at once: the thread that answers waits for this one's Python code, for a fraction of a millisecond."""
CHUNK_S_MAX = 1.0
"""A challenger that takes longer for a chunk is late."""
WAIT_S = 0.2
REFUSED_FOR_S = 60.0
"""A broker that refused a score is asked again after so long."""
FLUSH_S = 2.0

log = structlog.get_logger()


class ShadowWork(NamedTuple):
    """Rows that the champion has answered; all members run in step."""

    challenger: Model
    champion_version: str
    champion_thresholds: Thresholds
    champion_scores: NDArray[np.float64]
    """Shape (n,)."""
    vectors: NDArray[np.float32]
    """Shape (n, F)."""
    transactions: list[tuple[str, datetime]]
    """transaction_id and event_time."""


class Shadow(Protocol):
    """Takes work for a challenger."""

    def offer(self, work: ShadowWork) -> None:
        """Called by the thread that answers, after the answers have left; returns at once and never raises."""
        ...


class ShadowScorer:
    """A Shadow, and the Loop that works for it. `publisher` makes one for this thread, when there is something to publish."""

    def __init__(
        self,
        publisher: Callable[[], BackpressurePublisher],
        clock: Clock,
        metrics: Metrics,
        *,
        retailer: str,
        time_share: float,
    ) -> None:
        """`time_share` in (0, 1]: how much of the time this thread may compute."""
        self._make_publisher = publisher
        self._publisher: BackpressurePublisher | None = None
        self._clock = clock
        self._metrics = metrics
        self._retailer = retailer
        self._rest = 1 / time_share - 1
        self._queue: queue.SimpleQueue[ShadowWork] = queue.SimpleQueue()
        # Each is written by one thread, so that no lock is needed.
        self._offered = 0
        self._done = 0
        self._refused_until_s = float("-inf")
        self._stop = threading.Event()

    def offer(self, work: ShadowWork) -> None:
        """As the port says."""
        rows = len(work.transactions)
        if self._offered - self._done + rows > ROWS_MAX:
            self._drop(rows, "overload")
            return
        self._offered += rows
        self._queue.put(work)

    def run(self) -> None:
        """Until `stop`: scores what comes. What waits then is lost, which is allowed."""
        while not self._stop.is_set():
            try:
                work = self._queue.get(timeout=WAIT_S)
            except queue.Empty:
                self._deliver([])
                continue
            for start in range(0, len(work.transactions), CHUNK_ROWS):
                self._work_on(work, slice(start, start + CHUNK_ROWS))
        if self._publisher is not None:
            self._publisher.flush(FLUSH_S)

    def stop(self) -> None:
        """Asks the loop to end."""
        self._stop.set()

    def _work_on(self, work: ShadowWork, rows: slice) -> None:
        began_s = self._clock.monotonic_s()
        count = len(work.transactions[rows])
        try:
            scores = round_scores(work.challenger.score(work.vectors[rows], CHUNK_S_MAX))
        except LateError:
            self._drop(count, "late")
        except ModelFailedError:
            self._drop(count, "failed")
        else:
            self._deliver(build_shadow_scores(work, rows, scores, self._retailer))
        self._done += count
        self._stop.wait((self._clock.monotonic_s() - began_s) * self._rest)

    def _deliver(self, results: list[EventResult]) -> None:
        """Sends, or drops where Kafka does not take it; nothing here may end the worker."""
        if self._clock.monotonic_s() < self._refused_until_s:
            self._drop(len(results), "kafka")
            return
        if self._publisher is None:
            if not results:
                return
            self._publisher = self._make_publisher()
        try:
            self._publisher.serve()
            if results and self._publisher.full:
                self._drop(len(results), "kafka")
                return
            if results:
                self._publisher.publish(results, _nothing)
                self._metrics.add("tillguard_scoring_shadow_scores_total", len(results), retailer=self._retailer)
        except TransientError as error:
            log.error("shadow_scores_refused", reason=str(error), again_after_s=REFUSED_FOR_S)  # noqa: TRY400 - the text says it all
            self._drop(len(results), "kafka")
            self._publisher = None
            self._refused_until_s = self._clock.monotonic_s() + REFUSED_FOR_S

    def _drop(self, rows: int, reason: str) -> None:
        if rows:
            self._metrics.add("tillguard_scoring_shadow_dropped_total", rows, retailer=self._retailer, reason=reason)


def prepare_shadow_work(challenger: Model, batch: Batch, judgement: Judgement) -> ShadowWork | None:
    """What a challenger should score of a batch that its champion judged: new transactions, no history."""
    rows = [row for row in batch.list_new_rows() if not is_history(batch.transactions[row])]
    if not rows:
        return None
    champion, taken = judgement.model, [batch.transactions[row] for row in rows]
    return ShadowWork(
        challenger,
        champion.version,
        champion.manifest.thresholds,
        judgement.scores[rows],
        batch.vectors[rows],
        [(transaction.transaction_id, transaction.event_time) for transaction in taken],
    )


def build_shadow_scores(work: ShadowWork, rows: slice, scores: NDArray[np.float64], retailer: str) -> list[EventResult]:
    """The messages for some rows of `work`, given the challenger's scores for them.

    `scores`: (k,) float64 within [0, 1], for the k transactions in `rows`.
    """
    champion = work.champion_scores[rows]
    decisions = decide_by_model(scores, work.challenger.manifest.thresholds).tolist()
    champion_decisions = decide_by_model(champion, work.champion_thresholds).tolist()
    return [
        EventResult(
            key=transaction_id.encode(),
            shadow_score=encode(
                ShadowScore(
                    transaction_id=transaction_id,
                    retailer=retailer,
                    event_time=event_time,
                    model_version=work.challenger.version,
                    score=score,
                    decision=DECISIONS[decision],
                    champion_version=work.champion_version,
                    champion_score=champion_score,
                    champion_decision=DECISIONS[champion_decision],
                )
            ),
        )
        for (transaction_id, event_time), score, decision, champion_score, champion_decision in zip(
            work.transactions[rows], scores.tolist(), decisions, champion.tolist(), champion_decisions, strict=True
        )
    ]


def _nothing() -> None:
    """Nobody waits for the delivery of a shadow score."""
