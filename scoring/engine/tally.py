"""What is counted of a batch while it is answered."""

from collections import Counter
from dataclasses import dataclass, field

from contract.metrics import Metrics


@dataclass(slots=True)
class Tally:
    """The counts of one batch, whatever parts it is judged in."""

    transactions: int = 0
    """Rows of the whole batch."""
    redelivered: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """Time spent per stage."""
    verdicts: Counter[tuple[str, bool]] = field(default_factory=Counter)
    """By decision and whether degraded."""
    dead_letters: Counter[str] = field(default_factory=Counter)
    """By reason."""
    latencies_ms: list[float] = field(default_factory=list)
    """Of the verdicts."""

    def add_time(self, stage: str, seconds: float) -> None:
        """Notes time spent in a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def compute_stage_us(self) -> dict[str, float]:
        """Microseconds per transaction and stage, so far."""
        count = max(1, self.transactions)
        return {stage: round(seconds / count * 1e6, 1) for stage, seconds in self.seconds.items()}

    def report(self, metrics: Metrics, retailer: str) -> None:
        """Adds everything to the metrics."""
        for (decision, degraded), count in self.verdicts.items():
            labels = {"decision": decision, "degraded": str(degraded).lower()}
            metrics.add("tillguard_scoring_verdicts_total", count, retailer=retailer, **labels)
        for reason, count in self.dead_letters.items():
            metrics.add("tillguard_scoring_dead_letters_total", count, retailer=retailer, reason=reason)
        for stage, seconds in self.seconds.items():
            metrics.observe("tillguard_scoring_stage_seconds", seconds, retailer=retailer, stage=stage)
        latencies_s = [latency_ms / 1000 for latency_ms in self.latencies_ms]
        metrics.observe_all("tillguard_scoring_latency_seconds", latencies_s, retailer=retailer)
