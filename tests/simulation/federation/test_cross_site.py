"""Cross-site evaluation in rounds: the willing judge each other's models, and nobody else learns anything of them."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from contract.federation.messages import SiteFigures, SiteModels
from contract.federation.settings import FederationSettings, ParticipantSettings
from federation.audit.history import decode_content
from federation.coordinator.process import name_coordinator_owner
from federation.coordinator.state import CoordinatorState
from federation.learning.learner import Arrays, Learner, Task, Trained
from federation.messages import cross_site
from federation.messages.cross_site import Sites, Willing, find_newest_finished
from federation.messages.inbox import Inbox
from federation.numeric.tensors import count_summed, flatten
from federation.participant.state import Saying
from federation.simulation.world import World
from federation.transports.memory import CrashError
from federation.transports.ports import LOGS
from support.federation_kinds import headings_of
from support.federation_ledger import ledger_of
from support.federation_world import asking, killed_at_each_append, small_settings, small_world
from support.lying_coordinator import Ear, next_plan, tell

NAMES = tuple(f"shop-{number}" for number in range(7))
WILLING = NAMES[:4]


class Remembers:
    """A learner whose every trained model is known; else an honest one."""

    def __init__(self, honest: Learner) -> None:
        self._honest = honest
        self.models: dict[int, Arrays] = {}

    def train(self, task: Task) -> Trained:
        result = self._honest.train(task)
        self.models[task.round] = result.arrays
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._honest, name)


class DiesJudging:
    """A learner whose process is killed while it judges for the first time."""

    def __init__(self, honest: Learner) -> None:
        self._honest = honest
        self.died = 0

    def judge(self, models: Sequence[Arrays]) -> list[dict[str, float]]:
        if not self.died:
            self.died = 1
            raise CrashError
        return self._honest.judge(models)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._honest, name)


def settings_for(every: int = 1, **rounds: Any) -> FederationSettings:
    chosen = {"robust": {"rule": "mean", "weight_max": 1.0}, "clip_norm": 1e3, "cross_site_every": every, **rounds}
    return asking(small_settings("robust", **chosen), cross_site=True)


def made(settings: FederationSettings, willing: tuple[str, ...] = WILLING, **options: Any) -> World:
    """A world of seven in which three at least do everything but show their models."""
    others = {name: ParticipantSettings(allow_robust=True) for name in NAMES if name not in willing}
    world = small_world(settings, len(NAMES), asking=others, liar=Remembers, lying=NAMES, examples=4_000, **options)
    world.enrol_all()
    return world


def sites_of(world: World) -> Sites:
    return world.state.evaluations[-1]


def settled(world: World) -> Sites:
    """After everyone who was asked has told."""
    world.run_until(lambda: len(sites_of(world).figures) == len(sites_of(world).shown))
    return sites_of(world)


def entries(world: World, kind: str) -> list[dict[str, Any]]:
    return [decode_content(entry) for entry in ledger_of(world) if entry.kind == kind]


def test_the_matrix_is_that_of_the_models_that_left_training_on_everyone_s_newest_examples() -> None:
    world = made(settings_for())
    world.run_rounds(1)
    matrix = settled(world).to_matrix()
    assert list(matrix) == list(WILLING)
    for owner, row in matrix.items():
        assert list(row) == list(WILLING)
        learner: Any = world._learners[owner]
        for judge, precision in row.items():
            expected = world._learners[judge].judge([learner.models[1]])[0]["ap"]
            assert precision == pytest.approx(expected, abs=1e-3)
    assert len({round(value, 6) for row in matrix.values() for value in row.values()}) > 3, "they differ"


def test_the_ledger_says_who_was_shown_and_who_told_but_no_figure() -> None:
    world = made(settings_for())
    world.run_rounds(1)
    settled(world)
    world.take_turn()
    assert entries(world, "site_models") == [{"model_version": 1, "shown": list(WILLING)}]
    told = entries(world, "site_figures")
    assert sorted(one["participant"] for one in told) == list(WILLING)
    assert all(one == {"participant": one["participant"], "model_version": 1, "models": 4} for one in told)


def test_whoever_shows_nothing_is_shown_nothing_and_the_topic_has_no_model_to_read() -> None:
    world = made(settings_for())
    world.run_rounds(1)
    settled(world)
    written = b"".join(record.value for log in LOGS for record in world.broker.read(log, 0, 100_000))
    for name in NAMES:
        learner: Any = world._learners[name]
        model = flatten(learner.models[1]).astype("<f4").tobytes()
        assert not any(model[start : start + 16] in written for start in range(0, len(model) - 16, 4))
    assert world.state.model.payload in written, "what can be read would be found"
    assert world.participants[NAMES[-1]].participant.shown is None


@pytest.mark.parametrize(("willing", "shown"), [((), 0), (NAMES[:1], 0), (NAMES[:2], 2), (NAMES[:6], 4), (NAMES, 7)])
def test_it_takes_two(willing: tuple[str, ...], shown: int) -> None:
    world = made(settings_for(), willing)
    world.run_rounds(2)
    assert [len(one.shown) for one in world.state.evaluations] == ([shown] * 2 if shown else [])
    assert len(entries(world, "site_models")) == (2 if shown else 0)


def test_every_second_training_and_none_of_the_rounds_between() -> None:
    world = made(settings_for(2, calibration_every=1), form=True)
    world.run_rounds(5)
    purposes = {entry.round: decode_content(entry)["purpose"] for entry in ledger_of(world) if entry.kind == "plan"}
    trainings = [number for number, purpose in purposes.items() if purpose == "training"]
    shown = [entry.round for entry in ledger_of(world) if entry.kind == "site_models"]
    assert len(trainings) == 5
    assert len(purposes) > 5, "there are rounds of other purposes between"
    assert shown == trainings[1::2]


def test_without_the_setting_nothing_is_shown_though_all_are_willing() -> None:
    world = made(settings_for(0), NAMES)
    world.run_rounds(1)
    assert world.state.evaluations == []
    assert entries(world, "site_models") == []


def test_a_coordinator_that_is_killed_at_any_append_has_the_same_matrix() -> None:
    def running() -> World:
        return made(settings_for(), seed=5)

    whole = running()
    whole.run_rounds(1)
    expected = settled(whole).to_matrix()
    killed = 0
    for world in killed_at_each_append(running, 1):
        killed += 1
        found = settled(world)
        assert found.to_matrix().keys() == expected.keys()
        for owner, row in found.to_matrix().items():
            assert row == pytest.approx(expected[owner], abs=1e-6)
        told = entries(world, "site_figures")
        assert len(told) == len({one["participant"] for one in told}), "nobody counts twice"
        world.restart_coordinator()
        assert sites_of(world) == found
    assert killed > 5


@pytest.mark.parametrize("moment", ["before", "after", "judging"])
def test_a_participant_that_is_killed_tells_once(moment: str) -> None:
    world = made(settings_for())
    victim = WILLING[1]
    process = world.participants[victim]
    append = process._transport.append

    def dying(records: Any) -> int:
        meant = any(one.kind == "site_figures" for one in headings_of(record.value for record in records))
        if meant and moment == "before":
            raise CrashError
        appended_ms = append(records)
        if meant:
            raise CrashError
        return appended_ms

    if moment == "judging":
        world._learners[victim] = DiesJudging(world._learners[victim])
        world.restart_participant(victim)
        world.crashes = 0
    else:
        process._transport.append = dying  # type: ignore[method-assign]
    world.run_rounds(1)
    assert list(settled(world).to_matrix()[victim]) == list(WILLING)
    assert world.crashes == 1
    world.run_until(lambda: True)
    assert [one["participant"] for one in entries(world, "site_figures")].count(victim) == 1
    # Told again, since it was killed before that was stored, it is dropped.
    assert world.drops.get("duplicate", 0) == (moment == "after")


def test_nobody_can_be_asked_again_with_other_models() -> None:
    """Each answer tells a little of what it was measured on; so there is one for each round, whatever the coordinator sends."""
    world = made(settings_for())
    world.run_rounds(1)
    settled(world)
    victim = world.participants[WILLING[0]].participant
    assert victim.state.willing == {}
    inbox = Inbox(world.settings.name, world.identity, log="control")
    shown = [
        opened
        for record in world.broker.read("control", 0, 100_000)
        for opened in inbox.take(record.value, roster=lambda _: world.identity.public, now_ms=record.appended_ms)
        if isinstance(opened.message, SiteModels)
    ]
    assert len(shown) == 1
    victim._heed(shown[0], 0)
    assert victim.shown is None


@pytest.mark.parametrize("mode", ["masked", "robust"])
def test_a_coordinator_cannot_ask_without_a_round_to_which_the_retailer_agreed(mode: str) -> None:
    """Its real keys, models of its making, the version after the newest: who has sent no update to be compared does not answer."""
    world = small_world(asking(small_settings(mode), cross_site=True), 3)
    world.enrol_all()
    world.run_rounds(1)
    ear = Ear(world)
    plan = next_plan(world)
    shown = {
        name: Willing(np.ones(count_summed(plan)), one.public.sealing_key) for name, one in world.identities.items()
    }
    for version in (1, 2, 1_000):
        tell(
            world, cross_site.build_message(world.settings.name, plan, version, world.state.model.payload, shown), plan
        )
        world.take_participants_turn()
    assert ear.answers() == []
    assert all(one.participant.shown is None for one in world.participants.values())


def test_where_rounds_follow_each_other_at_once_every_evaluation_is_finished_and_can_be_seen() -> None:
    world = made(settings_for(calibration_every=0))
    world.order_rounds(4)
    seen = {}

    def over() -> bool:
        checkpoint = world.store.load(name_coordinator_owner(world.settings.name))
        assert checkpoint is not None
        newest = find_newest_finished(msgspec.msgpack.decode(checkpoint.state, type=CoordinatorState).evaluations)
        if newest is not None:
            seen[newest.model_version] = len(newest.figures)
        return world.coordinator.coordinator.idle

    for _ in range(1_000):
        if world.take_turn() == 0:
            world.advance(500)
        if over():
            break
    settled(world)
    assert len(entries(world, "site_models")) == 4
    assert len(entries(world, "site_figures")) == 4 * len(WILLING)
    assert world.drops.get("wrong_round", 0) == 0
    assert {version: told for version, told in seen.items() if version in (2, 3)} == {2: 4, 3: 4}


def test_whoever_holds_the_name_by_other_keys_is_not_shown_what_the_one_before_agreed_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = made(settings_for(), NAMES)
    victim = NAMES[1]
    server_update = world._server_update
    candidate = server_update.make_candidate

    def re_enrolled(state: CoordinatorState, *rest: Any) -> Any:
        state.members[victim] = replace(state.members[victim], sealing_key=world.identity.public.sealing_key)
        return candidate(state, *rest)

    monkeypatch.setattr(server_update, "make_candidate", re_enrolled)
    world.run_rounds(1)
    (shown,) = entries(world, "site_models")
    assert victim not in shown["shown"]
    assert len(shown["shown"]) == len(NAMES) - 3, "hidden among as many as a round needs"


def test_strangers_and_wrong_figures_do_not_count() -> None:
    world = made(settings_for())
    world.run_rounds(1)
    before = settled(world).to_matrix()
    process = world.participants[NAMES[-1]]
    process._send(Saying(SiteFigures(model_version=1, figures={WILLING[0]: 1.0})))
    willing = world.participants[WILLING[0]]
    willing._send(Saying(SiteFigures(model_version=1, figures={WILLING[1]: 1.0})))
    willing._send(Saying(SiteFigures(model_version=9, figures={WILLING[1]: 1.0})))
    world.run_until(lambda: True)
    assert sites_of(world).to_matrix() == before
    assert {reason: world.drops.get(reason, 0) for reason in ("not_selected", "duplicate", "wrong_round")} == {
        "not_selected": 1, "duplicate": 1, "wrong_round": 1,
    }  # fmt: skip
