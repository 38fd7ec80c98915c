"""Looks at what the retailer's state covers, next to scoring: warnings of /ready, a metric, an alarm, and a word in verdicts.

A worker whose state does not hold what its model expects answers in full all the same: a score that knows less is better than rules
alone, and a worker that is not ready would take a whole retailer out for weeks. So it is a warning, not a failure.
"""

from collections.abc import Callable
from functools import partial

import structlog

from contract.alarms import Alarm
from contract.clock import Clock, to_epoch_ms
from contract.metrics import Metrics
from scoring.engine.coverage import Coverage, Gap, GapKind, describe_gaps, find_gaps, needs_risk
from scoring.feeds.ports import Publisher
from scoring.ports import Models, StoreUnavailableError
from scoring.worker.alarm_loop import AlarmLoop

KINDS: tuple[GapKind, ...] = ("risk", "windows")

log = structlog.get_logger()


class StateWatch(AlarmLoop):
    """`list_missing` is called by the scoring thread, `warnings` by the web server's."""

    every_s = 5.0

    def __init__(
        self,
        read: Callable[[], Coverage],
        models: Models,
        publisher: Callable[[], Publisher],
        *,
        clock: Clock,
        metrics: Metrics,
        retailer: str,
        label_delay_days: float,
    ) -> None:
        """`read` raises StoreUnavailableError; `publisher` makes one for this thread, when there is something to tell."""
        super().__init__(publisher)
        self._read = read
        self._models = models
        self._clock = clock
        self._metrics = metrics
        self._retailer = retailer
        self._label_delay_days = label_delay_days
        self._coverage: Coverage | None = None
        self._live_ms: int | None = None
        self._gaps: list[Gap] = []
        self._told: set[str] = set()

    @property
    def warnings(self) -> list[Gap]:
        """What the serving model does not find now."""
        return self._gaps

    def list_missing(self, event_time_ms: int, *, risk: bool, live: bool) -> list[str]:
        """What a transaction does not find; `risk`: its model learned from risk, `live`: it is no history."""
        if live:
            self._live_ms = max(event_time_ms, self._live_ms or event_time_ms)
        if self._coverage is None:
            return []
        return list(find_gaps(self._coverage, event_time_ms, risk=risk, label_delay_days=self._label_delay_days))

    def look(self) -> None:
        """One look. Without the store every answer is degraded, which has an alert of its own."""
        serving = self._models.serving
        try:
            coverage = self._read()
        except StoreUnavailableError:
            return
        self._coverage = coverage
        if serving is None:
            return
        at_ms = to_epoch_ms(self._clock.now()) if self._live_ms is None else self._live_ms
        kinds = find_gaps(coverage, at_ms, risk=needs_risk(serving.manifest), label_delay_days=self._label_delay_days)
        self._gaps = describe_gaps(coverage, kinds, retailer=self._retailer, label_delay_days=self._label_delay_days)
        for kind in KINDS:
            self._metrics.set("tillguard_scoring_state_gap_info", kind in kinds, retailer=self._retailer, kind=kind)
        if self._live_ms is not None:  # before the first sale nobody is answered with less
            self._tell([gap for gap in self._gaps if gap.text not in self._told], coverage)

    def _tell(self, new: list[Gap], coverage: Coverage) -> None:
        if not new:
            return
        alarms = [self._alarm(gap, coverage) for gap in new]
        for gap in new:
            log.warning("state_incomplete", kind=gap.kind, text=gap.text, remedy=gap.remedy)
        self.send(alarms, partial(self._told.update, [gap.text for gap in new]))

    def _alarm(self, gap: Gap, coverage: Coverage) -> Alarm:
        since_ms = coverage.windows_from_ms if gap.kind == "windows" else coverage.frauds_to_ms
        return Alarm(
            alarm_id=f"state_{gap.kind}-{since_ms or 0}",
            retailer=self._retailer,
            kind="state_incomplete",
            severity="warning",
            raised_at=self._clock.now(),
            part="scoring",
            subject=gap.kind,
            text=gap.text,
            remedy=gap.remedy,
            values={},
        )
