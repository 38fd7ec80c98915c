"""A process's status in words, the same on the command line and on every page. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple

from contract.status.message import Condition, Lag, ProcessStatus, Progress

State = Literal["running", "stopped", "gone"]

GONE_AFTER_BEATS = 4
"""Heartbeats that a process may miss before it counts as gone."""
SHOWN_FOR_S = 3600.0
"""Of a process that ended, where another one does its work."""
MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0
PUNCTUAL_S = 0.05
"""Less than this far behind is up to date."""


class Heard(NamedTuple):
    """The newest status of a process, and when it came."""

    status: ProcessStatus
    at: datetime
    """By the broker's clock, which is the same for all processes."""

    def measure_age_s(self, now: datetime) -> float:
        """Seconds since it was heard of; 0 where the reader's clock is behind the broker's."""
        return max(0.0, (now - self.at).total_seconds())


def judge_state(heard: Heard, now: datetime) -> State:
    """Whether the process runs. One that was killed says nothing: after some missing heartbeats it is gone."""
    if heard.status.stopped:
        return "stopped"
    return "gone" if heard.measure_age_s(now) > GONE_AFTER_BEATS * heard.status.every_s else "running"


def list_shown(everyone: Iterable[Heard], now: datetime) -> list[Heard]:
    """Who is worth showing, by name: every process that runs, and of the others the newest of a part that nobody runs.

    A part that somebody runs also shows whoever ended within the last hour.
    """
    parts: defaultdict[str, list[Heard]] = defaultdict(list)
    for heard in everyone:
        parts[heard.status.part].append(heard)
    shown: list[Heard] = []
    for members in parts.values():
        running = [heard for heard in members if judge_state(heard, now) == "running"]
        ended = [heard for heard in members if heard not in running]
        shown += running + [heard for heard in ended if heard.measure_age_s(now) <= SHOWN_FOR_S]
        if ended and not running:
            newest = max(ended, key=lambda heard: heard.at)
            shown += [] if newest in shown else [newest]
    return sorted(shown, key=lambda heard: (heard.status.part, heard.status.started_at, heard.status.process))


def name_process(status: ProcessStatus) -> str:
    """What people call it: `connector orders`, `scoring host-123`."""
    kind, _, name = status.part.partition(":")
    return f"{kind} {name or status.process}"


def describe_process(heard: Heard, now: datetime) -> str:
    """How it is, as one line: `streaming, 0.8 s behind`."""
    state, condition = judge_state(heard, now), heard.status.condition
    ago = f"{format_span(heard.measure_age_s(now))} ago"
    if state == "gone":
        return f"gone: last heard of {ago}"
    if state == "stopped":
        return _with_reasons(f"stopped {ago}", condition)
    return describe_condition(condition)


def describe_condition(condition: Condition) -> str:
    """How a process that runs is."""
    parts = [_describe_activity(condition)]
    if condition.progress is None and condition.lag is not None:
        parts.append(_describe_lag(condition.lag))
    if condition.position and condition.activity == "taking_part":
        parts.append(condition.position)
    if condition.breaker_open:
        parts.append("breaker open")
    if condition.activity == "scoring":
        parts.append("ready" if condition.healthy else "not ready")
    return _with_reasons(", ".join(filter(None, parts)), condition)


def format_span(seconds: float) -> str:
    """A length of time as people say it: `40 s`, `4 min`, `2 h`, `3 days`."""
    if seconds < 1.5 * MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 1.5 * HOUR_S:
        return f"{seconds / MINUTE_S:.0f} min"
    if seconds < 1.5 * DAY_S:
        return f"{seconds / HOUR_S:.0f} h"
    return f"{seconds / DAY_S:.0f} days"


def _with_reasons(told: str, condition: Condition) -> str:
    return told if condition.healthy or not condition.reasons else f"{told}: {'; '.join(condition.reasons)}"


def _describe_activity(condition: Condition) -> str:
    if condition.activity == "scoring":
        return _describe_partitions(condition.partitions)
    if condition.progress is not None:
        return _describe_progress(condition.progress)
    return condition.activity.replace("_", " ")


def _describe_partitions(partitions: list[int] | None) -> str:
    if partitions is None:
        return "waiting for partitions"
    if not partitions:
        return "no partition, others have them all"
    return f"{len(partitions)} partition{'' if len(partitions) == 1 else 's'}"


def _describe_progress(progress: Progress) -> str:
    parts = [f"reading {progress.name or 'the file'}"]
    total = progress.rows_total
    if total and progress.rows <= total:
        parts.append(f"{100 * progress.rows // total} %")
    else:
        parts.append(f"{progress.rows:,} rows so far")
    if progress.left_s is not None:
        parts.append(f"about {format_span(progress.left_s)} left")
    if progress.tables_after:
        parts.append(f"then {progress.tables_after} more table{'' if progress.tables_after == 1 else 's'}")
    return ", ".join(parts)


def _describe_lag(lag: Lag) -> str:
    if lag.seconds is not None:
        if lag.seconds < PUNCTUAL_S:
            return "up to date"
        return f"{lag.seconds:.1f} s behind" if lag.seconds < 10 else f"{format_span(lag.seconds)} behind"
    if lag.records is not None:
        return f"{lag.records:,} records behind" if lag.records else "up to date"
    return ""
