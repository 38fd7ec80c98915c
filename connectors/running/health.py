"""Whether a connector is well and how far it is, as a page, a metric and a heartbeat show it. Pure but for the lock-free fields."""

from dataclasses import dataclass

from connectors.ports import Extent

SOURCE_SILENT_S = 60.0
KAFKA_SILENT_S = 30.0


@dataclass(slots=True)
class Reading:
    """A table, collection or file that is read as it stands."""

    extent: Extent
    began_s: float
    """Monotonic time."""
    tables_after: int
    """That are read after this one."""
    rows: int
    """Given so far, at earlier starts too."""


@dataclass(slots=True)
class Vitals:
    """Written by the runner, read by the web page and the heartbeat; single values, so no lock is needed."""

    started_s: float
    source_spoke_s: float | None = None
    """Monotonic time of the last item of any kind."""
    lag_s: float = 0.0
    """Age of the newest row when it was read."""
    streaming: bool = False
    caught_up: bool = False
    """The source had nothing more when it spoke last."""
    reading: Reading | None = None
    position: str = ""
    """Where the stream stands, as last saved; in the source's words."""
    away: str = ""
    """Why the source is waited for; empty while it answers."""

    def note_source(self, now_s: float) -> None:
        """The source gave something at monotonic time `now_s`."""
        self.source_spoke_s = now_s
        self.away = ""

    def note_row(self) -> None:
        """A row was read."""
        self.caught_up = False
        if self.reading is not None:
            self.reading.rows += 1

    def begin_stream(self) -> None:
        """All that stood there was read; changes follow, or the rows of a file."""
        self.streaming, self.reading = True, None

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
