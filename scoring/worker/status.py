"""How a worker is, as its heartbeat says it. Pure."""

from collections.abc import Iterable

from contract.status.message import Condition, Lag
from scoring.feeds.ports import FeedState
from scoring.worker.health import Fault, Readiness


def describe_worker(
    readiness: Readiness,
    feed: FeedState,
    *,
    model_version: str | None,
    rules_version: str,
    breaker_open: bool | None,
) -> Condition:
    """What /ready says, and what the worker has to do."""
    return Condition(
        activity="scoring",
        healthy=readiness.ready,
        reasons=_say(readiness.checks.values()),
        warnings=_say(readiness.warnings.values()),
        lag=Lag(records=feed.lag, seconds=feed.behind_s),
        partitions=None if feed.assigned is None else list(feed.assigned),
        model_version=model_version,
        rules_version=rules_version,
        breaker_open=breaker_open,
    )


def _say(faults: Iterable[Fault | None]) -> list[str]:
    return [f"{fault.reason}; remedy: {fault.remedy}" for fault in faults if fault is not None]
