"""What a worker says of itself."""

from contract.status.message import Lag
from contract.status.words import describe_condition
from scoring.feeds.ports import FeedState
from scoring.worker.health import Fault, Readiness
from scoring.worker.status import describe_worker

READY = Readiness(ready=True, checks={"model": None, "store": None})


def test_a_worker_that_is_ready_tells_its_partitions_lag_and_versions() -> None:
    told = describe_worker(
        READY,
        FeedState(assigned=(0, 3), lag=7, behind_s=0.2),
        model_version="m-1",
        rules_version="r-1",
        breaker_open=False,
    )
    assert (told.partitions, told.lag, told.model_version) == ([0, 3], Lag(records=7, seconds=0.2), "m-1")
    assert describe_condition(told) == "2 partitions, 0.2 s behind, ready"


def test_a_worker_that_is_not_ready_tells_each_reason_with_its_remedy_and_warnings_apart() -> None:
    readiness = Readiness(
        ready=False,
        checks={"model": Fault("no model", "train"), "store": None},
        warnings={"risk": Fault("frauds are missing", "load them")},
    )
    told = describe_worker(readiness, FeedState(), model_version=None, rules_version="r-1", breaker_open=None)
    assert (told.healthy, told.reasons) == (False, ["no model; remedy: train"])
    assert told.warnings == ["frauds are missing; remedy: load them"]
    assert told.partitions is None
