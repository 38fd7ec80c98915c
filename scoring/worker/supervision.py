"""Looks at the worker once a second: gauges, readiness, and the end of a worker that stands still."""

import faulthandler
import threading
from collections.abc import Callable, Sequence

import structlog

from contract.clock import Clock
from contract.errors import TillguardError
from contract.metrics import Metrics
from scoring.engine.coverage import Gap
from scoring.feeds.ports import FeedState
from scoring.models.cache import ModelCache, describe_remedy_for_missing
from scoring.rules.published import Unserved
from scoring.worker.health import Check, Fault, Readiness, check_readiness
from scoring.worker.selfwatch import Health, SelfWatch

LOOK_EVERY_S = 1.0
END_WITHIN_S = 30.0
"""A worker that must end and cannot even do that is cut off, with the stacks of its threads in the log."""

log = structlog.get_logger()


class StalledError(TillguardError):
    """There is work, and nothing moves; the process ends so that a fresh one takes over."""


class Supervision:
    """A Loop, and the answer of /ready."""

    def __init__(
        self,
        feed_state: Callable[[], FeedState],
        cache: ModelCache,
        store_answers: Callable[[], bool],
        brokers_answer: Callable[[], bool],
        *,
        clock: Clock,
        metrics: Metrics,
        retailer: str,
        stall_after_s: float,
        unserved: Callable[[], Unserved | None] = lambda: None,
        gaps: Callable[[], Sequence[Gap]] = tuple,
    ) -> None:
        """`store_answers` and `brokers_answer` ask the servers and block for a time limit of seconds.

        `unserved` says why the rules that should serve do not; `gaps` are warnings.
        """
        self._unserved = unserved
        self._gaps = gaps
        self._feed_state = feed_state
        self._cache = cache
        self._store_answers = store_answers
        self._brokers_answer = brokers_answer
        self._clock = clock
        self._metrics = metrics
        self._retailer = retailer
        self._stall_after_s = stall_after_s
        self._watch = SelfWatch(stall_after_s, clock.monotonic_s())
        self._health = Health.MOVING
        self._stop = threading.Event()

    def run(self) -> None:
        """Until `stop`: one look a second. Raises StalledError."""
        while not self._stop.wait(LOOK_EVERY_S):
            self.look()

    def stop(self) -> None:
        """Asks the loop to end."""
        self._stop.set()

    def look(self) -> None:
        """One look; raises StalledError when the feed is dead."""
        state = self._feed_state()
        before, self._health = (
            self._health,
            self._watch.observe(state, self._clock.monotonic_s(), servers_answer=self._servers_answer()),
        )
        self._tell(state)
        if self._health is not before:
            log.warning("feed_health", health=self._health.value, lag=state.lag, assigned=state.assigned)
        if self._health is Health.DEAD:
            faulthandler.dump_traceback_later(END_WITHIN_S, exit=True)
            raise StalledError(
                f"{state.lag} transactions wait and none was taken or finished for {self._watch.progress_age_s:.0f} s"
            )

    def _servers_answer(self) -> bool:
        """Asked in full only when a stall is about to be declared."""
        if self._watch.progress_age_s < self._stall_after_s / 2:
            return self._cache.serving is not None
        return self._cache.serving is not None and self._store_answers() and self._brokers_answer()

    def _tell(self, state: FeedState) -> None:
        for name, value in (
            ("tillguard_scoring_lag_messages", state.lag),
            ("tillguard_scoring_pending_events", state.pending),
            ("tillguard_scoring_progress_age_seconds", self._watch.progress_age_s),
        ):
            self._metrics.set(name, value, retailer=self._retailer)

    def check_readiness(self) -> Readiness:
        """Whether this worker can give full answers now."""
        return check_readiness(
            [
                Check("model", self._model),
                Check("rules", self._rules),
                Check("store", self._store),
                Check("kafka", self._kafka),
                Check("progress", self._progress),
            ],
            {gap.kind: Fault(gap.text, gap.remedy) for gap in self._gaps()},
        )

    def _model(self) -> Fault | None:
        if self._cache.serving is None:
            return Fault(
                "no model is loaded; every answer is degraded",
                f"train and publish one: tillguard train --retailer {self._retailer} --history FILE",
            )
        missing = self._cache.missing
        if not missing or not self._feed_state().pending:
            return None
        return Fault(
            f"transactions wait for models that first judged them and are not here: {', '.join(missing)}; "
            "these stay degraded, all others are answered in full",
            describe_remedy_for_missing(missing[-1], self._retailer),
        )

    def _rules(self) -> Fault | None:
        unserved = self._unserved()
        return None if unserved is None else Fault(unserved.reason, unserved.remedy)

    def _store(self) -> Fault | None:
        if self._store_answers():
            return None
        return Fault(
            "Redis does not answer; every answer is degraded",
            "check that Redis runs and that redis.host, redis.port and redis.password in the settings are right",
        )

    def _kafka(self) -> Fault | None:
        if not self._brokers_answer():
            return Fault(
                "no Kafka broker answers; nothing is read or answered",
                "check that Kafka runs at kafka.bootstrap_servers; the worker continues by itself when it is back",
            )
        if self._feed_state().assigned is not None:
            return None
        return Fault(
            "the consumer group has not assigned partitions yet",
            "wait a few seconds; if it stays, check that Kafka runs at kafka.bootstrap_servers and that its ACLs let this user in",
        )

    def _progress(self) -> Fault | None:
        if self._health is Health.MOVING:
            return None
        return Fault(
            f"transactions wait and none was finished for {self._watch.progress_age_s:.0f} s",
            f"the worker ends itself after {2 * self._stall_after_s:.0f} s and must be started again; look for errors in its log",
        )
