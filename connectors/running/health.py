"""Whether a connector is well, in a form that a page and a metric can show. Pure but for the lock-free fields."""

from dataclasses import dataclass

SOURCE_SILENT_S = 60.0
KAFKA_SILENT_S = 30.0


@dataclass(slots=True)
class Vitals:
    """Written by the runner, read by the web page; single numbers, so no lock is needed."""

    started_s: float
    source_spoke_s: float | None = None
    """Monotonic time of the last item of any kind."""
    lag_s: float = 0.0
    """Age of the newest row when it was read."""

    def note_source(self, now_s: float) -> None:
        """The source gave something at monotonic time `now_s`."""
        self.source_spoke_s = now_s

    def compute_idle_s(self, now_s: float) -> float:
        """Seconds since the source last gave anything, or since the start."""
        return now_s - (self.source_spoke_s if self.source_spoke_s is not None else self.started_s)


def find_ailments(vitals: Vitals, now_s: float, kafka_blocked_s: float, silent_after_s: float) -> list[str]:
    """What is wrong, each with its remedy; empty when the connector is well.

    Args:
        vitals: What the runner wrote.
        now_s: Monotonic time.
        kafka_blocked_s: How long the oldest unconfirmed message has been waiting.
        silent_after_s: The source's own limit of silence.
    """
    found = []
    idle_s = vitals.compute_idle_s(now_s)
    if kafka_blocked_s > KAFKA_SILENT_S:
        found.append(
            f"Kafka has confirmed nothing for {kafka_blocked_s:.0f} s; is the broker up and are the topics there?"
        )
    elif idle_s > max(SOURCE_SILENT_S, 2 * silent_after_s):
        found.append(f"the source has been silent for {idle_s:.0f} s; is the database up and reachable?")
    return found
