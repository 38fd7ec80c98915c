"""What rounds say of themselves: how updates were made small and cut, what they weighed, and what each gave to the model."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from contract.federation.frames import Envelope
from contract.federation.messages import Adoption, RoundPlan
from contract.federation.settings import CompressionSettings, RobustSettings, RoundPrivacySettings
from contract.metrics import Metrics
from federation.audit.history import collect_standings, decode_content, list_rounds
from federation.coordinator import admission
from federation.coordinator.planning import RoundPlanning
from federation.learning.learner import Adopted, Arrays, Learner, Task, Trained
from federation.numeric.compression import unpack
from federation.participant import contribution
from federation.participant.contribution import Contribution
from federation.refusals import EnvelopeRefusedError
from federation.simulation.world import World
from federation.transports.memory import Faults, MemoryTransport
from federation.transports.ports import Outgoing
from support.federation_ledger import ledger_of
from support.federation_world import asking, small_settings, small_world
from tillguard.federation.answers import choose_orders
from tillguard.federation.watch import Watch


class FarAway:
    """A learner whose weights go a hundred away from where they were; else as the one it holds."""

    def __init__(self, own: Learner) -> None:
        self._own = own

    def train(self, task: Task) -> Trained:
        return self._own.train(task)._replace(arrays=[array + np.float32(100) for array in task.base])

    def summarise(self, task: Task) -> Trained:
        return self._own.summarise(task)

    def judge(self, models: Sequence[Arrays]) -> list[dict[str, float]]:
        return self._own.judge(models)

    def adopt(self, model_version: int, arrays: Arrays, *, trainings: int) -> Adopted:
        return self._own.adopt(model_version, arrays, trainings=trainings)


def next_plan(world: World) -> RoundPlan:
    world.state.rounds_wanted = 1
    plan = RoundPlanning(world.settings).plan(world.state, 0)
    assert isinstance(plan, RoundPlan)
    return plan


@pytest.mark.parametrize("level", [0, 19])
def test_updates_are_compressed_as_hard_as_the_coordinator_s_settings_say(level: int) -> None:
    settings = small_settings("robust", compression=CompressionSettings(zstd_level=level))
    world = small_world(settings, 3)
    world.enrol_all()
    participant = world.participants["shop-0"].participant
    given = Contribution(np.zeros(1_000), clipped=False)
    update = participant.updates.quantise(next_plan(world), given, Trained([], 10, 1))
    assert unpack(update.payload, 4_000) == bytes(4_000)
    assert (len(update.payload) < 100) == (level > 0)


def figures_of(world: World) -> dict[str, float]:
    last = [entry for entry in ledger_of(world) if entry.kind == "evaluated"][-1]
    return dict(decode_content(last)["metrics"])


@pytest.mark.parametrize("mode", ["masked", "robust"])
@pytest.mark.parametrize(("clip_norm", "rate"), [(1e-4, 1.0), (1e3, 0.0)])
def test_a_round_tells_which_share_of_its_updates_was_cut_and_a_participant_what_it_cut_itself(
    mode: str, clip_norm: float, rate: float
) -> None:
    world = small_world(small_settings(mode, clip_norm=clip_norm), 3)
    metrics = world.participants["shop-1"]._metrics = Metrics()
    world.enrol_all()
    world.run_rounds(2)
    assert figures_of(world)["clip_rate"] == rate
    counted = metrics.registry.get_sample_value("tillguard_federation_clipped_total", {"retailer": "shop-1"})
    assert counted == 2 * rate


def test_of_three_updates_one_that_was_cut_is_a_third() -> None:
    world = small_world(small_settings("masked", clip_norm=20.0), 3, lying=["shop-1"], liar=FarAway)
    world.enrol_all()
    world.run_rounds(1)
    assert figures_of(world)["clip_rate"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("mode", ["masked", "robust"])
def test_with_privacy_of_participants_nobody_is_told_how_many_updates_were_cut(mode: str) -> None:
    privacy = RoundPrivacySettings(level="client", noise_multiplier=4.0)
    world = small_world(small_settings(mode, privacy=privacy, robust=RobustSettings(rule="mean"), clip_norm=1e-4), 3)
    world.enrol_all()
    world.run_rounds(1)
    assert world.state.model.version == 1
    assert {"clip_rate", "clipped"}.isdisjoint(figures_of(world))


def test_a_plan_that_counts_in_spite_of_privacy_gets_no_count() -> None:
    world = small_world(small_settings("masked", privacy=RoundPrivacySettings(level="client")), 3)
    world.enrol_all()
    plan = msgspec.structs.replace(next_plan(world), counts_clipped=True)
    given = contribution.Contribution(np.zeros(4), clipped=True)
    assert contribution.weigh_contribution(plan, given, 0.5, world.random.randbytes)[4:].tolist() == [0.5]
    open_plan = msgspec.structs.replace(plan, privacy=msgspec.structs.replace(plan.privacy, level="none"))
    assert contribution.weigh_contribution(open_plan, given, 0.5, world.random.randbytes)[4:].tolist() == [0.5, 1.0]


def test_what_lies_beyond_the_fixed_point_is_a_metric_of_the_participant() -> None:
    world = small_world(small_settings("masked"), 3)
    metrics = world.participants["shop-1"]._metrics = Metrics()
    world.participants["shop-1"].participant.updates.beyond = 0.25
    world.participants["shop-1"].run_once(0.0)
    assert metrics.registry.get_sample_value("tillguard_federation_clipped_ratio", {"retailer": "shop-1"}) == 0.25
    world.enrol_all()
    world.run_rounds(1)
    assert metrics.registry.get_sample_value("tillguard_federation_clipped_ratio", {"retailer": "shop-1"}) == 0


@pytest.mark.parametrize("data", [True, False])
def test_in_mode_robust_the_ledger_tells_each_one_s_contribution_and_reputation(data: bool) -> None:
    without: dict[str, Any] = {} if data else {"evaluate": None}
    world = small_world(small_settings("robust"), 4, **without)
    world.enrol_all()
    world.run_rounds(2)
    found = collect_standings(ledger_of(world))
    assert {name: one.reputation for name, one in found.items()} == world.state.reputations
    assert len(found) == 4
    given = [one.contribution for one in found.values() if one.contribution is not None]
    assert len(given) == 4
    assert all(abs(value) < 0.5 for value in given) == data, "a share of average precision, or a cosine"


def test_of_masked_updates_and_of_those_with_privacy_the_ledger_tells_nothing() -> None:
    robust = RobustSettings(rule="mean")
    privacy = RoundPrivacySettings(level="client", noise_multiplier=4.0)
    for settings in (small_settings("masked"), small_settings("robust", robust=robust, privacy=privacy)):
        world = small_world(settings, 3)
        world.enrol_all()
        world.run_rounds(1)
        assert world.state.model.version == 1
        assert collect_standings(ledger_of(world)) == {}


@pytest.mark.parametrize("mode", ["masked", "robust"])
def test_bytes_are_counted_by_participant_and_round_whether_or_not_the_coordinator_is_killed(mode: str) -> None:
    totals = []
    for killed in (False, True):
        world = small_world(small_settings(mode), 3, faults=Faults(duplication=0.5))
        world.enrol_all()
        sent = dict(world.broker.bytes_in)
        if killed:
            transport = world.coordinator.transport
            assert isinstance(transport, MemoryTransport)
            transport.crash_after = 2
        world.run_rounds(1)
        assert world.crashes == killed
        entry = next(entry for entry in ledger_of(world) if entry.kind == "evaluated")
        told = decode_content(entry)["bytes"]
        assert told["of"].keys() == world.participants.keys()
        assert told["up"] == sum(told["of"].values()) == list_rounds(ledger_of(world))[0].bytes_up
        apart = {name: world.state.received[name] - bytes_up for name, bytes_up in told["of"].items()}
        assert all(0 < left < 6_000 for left in apart.values()), "one small message, adoption, is of no round"
        for name, received in world.state.received.items():
            assert received == pytest.approx(world.broker.bytes_in[name] - sent[name], rel=0.01), "each record once"
        totals.append(world.state.received)
    assert totals[0] == totals[1]


def test_bytes_and_what_was_not_believed_are_metrics_that_count_nothing_twice() -> None:
    world = small_world(small_settings("masked"), 3)
    own = world.participants["shop-1"]._metrics = Metrics()
    world.enrol_all()
    metrics = Metrics()
    watch = Watch(world.settings, world.coordinator, metrics)
    watch.look()
    before = {log: sum(len(one.value) for one in world.broker.read(log, 0, 10_000)) for log in ("control", "models")}
    world.broker.take([Outgoing("control", b"x", b"rubbish")], "mallory", exclusive=True)
    world.run_rounds(1)
    watch.look()
    watch.look()
    name = world.settings.name

    def value(of: Metrics, metric: str, **labels: str) -> float | None:
        return of.registry.get_sample_value(f"tillguard_federation_{metric}", labels)

    for shop, received in world.state.received.items():
        assert value(metrics, "received_bytes_total", federation=name, participant=shop) == received > 0
    said = {log: sum(len(one.value) for one in world.broker.read(log, 0, 10_000)) for log in ("control", "models")}
    assert value(own, "read_bytes_total", retailer="shop-1") == sum(said.values())
    told = value(metrics, "told_bytes_total", federation=name)
    assert told is not None
    assert told > sum(said.values()) - sum(before.values()), "the ledger besides"
    assert value(own, "unheard_total", retailer="shop-1", reason="malformed") == 1


def test_every_round_that_ended_is_counted_though_the_next_began_in_the_same_step() -> None:
    world, metrics = small_world(small_settings("masked"), 3), Metrics()
    state, watch = world.state, Watch(world.settings, world.coordinator, metrics)

    def ended(outcome: str) -> float | None:
        labels = {"federation": world.settings.name, "outcome": outcome}
        return metrics.registry.get_sample_value("tillguard_federation_rounds_total", labels)

    state.round_number, state.attempt, state.begun = 1, 1, True
    watch.look()
    assert (ended("published"), ended("failed")) == (None, None)
    state.round_number, state.model = 2, msgspec.structs.replace(state.model, version=1)
    watch.look()
    assert (ended("published"), ended("failed")) == (1, None)
    state.attempt = 2
    watch.look()
    state.begun = False
    watch.look()
    watch.look()
    assert (ended("published"), ended("failed")) == (1, 1)


def test_a_run_of_so_many_rounds_ends_whatever_was_ordered_before_and_left_undone() -> None:
    world = small_world(small_settings("masked"), 3)
    world.enrol_all()
    world.order_rounds(9)
    while world.state.round_number < 2:
        if world.take_turn() == 0:
            world.advance(1_000)
    begun = world.state.round_number
    for order in choose_orders(world.state, 2):
        world.order(order)
    world.run_until(lambda: world.coordinator.coordinator.idle)
    assert world.state.round_number - begun in (1, 2), "the one under way may be the first of them"


@pytest.mark.parametrize(
    ("wanted", "rounds", "orders"),
    [(0, 3, ["run"]), (2, 3, []), (3, 3, []), (4, 3, ["pause", "run"]), (2, None, ["run"]), (999_000, None, [])],
)
def test_a_coordinator_that_was_killed_goes_on_with_its_order_and_a_larger_one_is_taken_back(
    wanted: int, rounds: int | None, orders: list[str]
) -> None:
    state = small_world(small_settings("masked"), 3).state
    state.rounds_wanted = wanted
    assert [order.action for order in choose_orders(state, rounds)] == orders


@pytest.mark.parametrize("share", [True, False])
def test_figures_of_participants_are_seen_by_whoever_runs_the_coordinator_only_where_they_share_them(
    share: bool,
) -> None:
    settings = small_settings("masked")
    world = small_world(asking(settings, share_metrics=share), 3)
    world.enrol_all()
    world.run_rounds(1)
    metrics = Metrics()
    Watch(world.settings, world.coordinator, metrics).look()
    labels = {"federation": settings.name, "participant": "shop-1", "figure": "ap"}
    shown = metrics.registry.get_sample_value("tillguard_federation_shared_ratio", labels)
    assert (shown is not None) == share
    assert shown == world.state.shared["shop-1"].get("ap")
    for entry in ledger_of(world):
        assert "shop-1" not in str(decode_content(entry).get("metrics", ""))


def test_figures_that_are_no_numbers_do_not_count() -> None:
    world = small_world(small_settings("masked"), 3)
    told = Adoption(model_version=0, decision="local", metrics={"ap": float("nan")})
    heading = Envelope(
        version=1, federation="f", type="adoption", round=0, attempt=0, sender="shop-1", recipient=None, sent_at_ms=1,
        epoch=0, body=b"",
    )  # fmt: skip
    with pytest.raises(EnvelopeRefusedError, match="finite"):
        admission.record_adoption(world.state, heading, told)
    admission.record_adoption(world.state, heading, msgspec.structs.replace(told, metrics={"ap": 0.5, "colour": 3.0}))()
    assert world.state.shared == {"shop-1": {"ap": 0.5}}
