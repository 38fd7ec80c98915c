"""What mode robust makes of single updates: late ones, those that agree, those that others may see."""

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from contract.federation.messages import RoundPlan, StageOver, TensorShape, Update
from contract.federation.settings import FederationSettings, RobustSettings, RoundSettings
from federation.coordinator.collection import CLIP_RATE
from federation.coordinator.robust import RobustCollection
from federation.messages.envelope import Opened
from federation.messages.identity import Identity
from federation.numeric.compression import compress
from federation.numeric.masks import Stream
from federation.numeric.strategies import compute_staleness_weight
from federation.refusals import UpdateRefusedError
from support.robust_round import opened, robust_plan

NAMES = ("alma", "berta", "carl")
PLAN = robust_plan(shapes=(TensorShape(name="w", shape=(2,)),), weight_unit=100.0)
IDENTITIES = {name: Identity(name, bytes([number]) * 64) for number, name in enumerate(NAMES)}
COORDINATOR = Identity("coordinator", bytes(range(64)))


def collection(plan: RoundPlan = PLAN, **robust: Any) -> RobustCollection:
    settings = RoundSettings(mode="robust", robust=RobustSettings(**({"rule": "mean"} | robust)))
    return RobustCollection(FederationSettings(rounds=settings), COORDINATOR, plan)


def said(name: str, *values: float, plan: RoundPlan = PLAN, **changes: Any) -> Opened:
    payload = compress(np.array(values, dtype=np.float32), 32, Stream(bytes(32)))
    fields: dict[str, Any] = {"examples": 100, "frauds": 0, "metrics": {}}
    return opened(Update(payload=payload, **(fields | changes)), IDENTITIES[name], plan)


def closed(made: RobustCollection, *names: str) -> RobustCollection:
    made.apply_closing(made.make_closing("updates", names))
    return made


def three(**updates: tuple[float, float]) -> RobustCollection:
    made = collection()
    for name in NAMES:
        made.accept("updates", said(name, *updates[name]))
    return closed(made, *NAMES)


def test_the_mean_weighs_by_what_each_said_it_learned_from() -> None:
    made = collection(weight_max=1.0)
    made.accept("updates", said("alma", 1.0, 0.0, examples=50))
    made.accept("updates", said("berta", 0.0, 1.0, examples=200))
    made.accept("updates", said("carl", 0.0, 0.0, examples=0, frauds=0))
    found = closed(made, *NAMES).combine()
    assert found.update == pytest.approx([0.2, 0.8])
    assert (found.weight, found.participants) == (1.25, 3)


def test_only_those_who_are_told_are_in_it_and_a_part_can_be_asked_for() -> None:
    made = collection()
    for name, value in zip(NAMES, (0.1, 0.2, 0.9), strict=True):
        made.accept("updates", said(name, value, value))
    assert made.make_closing("updates", NAMES[:2]) == StageOver(stage="updates", members=NAMES[:2])
    closed(made, *NAMES[:2])
    assert made.list_separable() == NAMES[:2]
    whole, part = made.combine(), made.combine(frozenset({"berta"}))
    assert (whole.participants, whole.update.tolist()) == (2, pytest.approx([0.15, 0.15]))
    assert (part.participants, part.update.tolist()) == (1, pytest.approx([0.2, 0.2]))
    assert CLIP_RATE in whole.figures
    assert CLIP_RATE not in part.figures
    with pytest.raises(UpdateRefusedError, match="nobody"):
        made.combine(frozenset({"carl"}))


def test_what_two_alone_would_make_of_each_other_is_their_mean() -> None:
    made = collection(rule="krum", byzantine_max=0)
    for name, value in zip(NAMES, (0.1, 0.2, 0.6), strict=True):
        made.accept("updates", said(name, value, value))
    closed(made, *NAMES)
    assert made.combine(frozenset({"alma", "carl"})).update.tolist() == pytest.approx([0.35, 0.35])
    assert made.combine().update.tolist() != pytest.approx([0.3, 0.3]), "of all it is the most central one"


def test_too_few_for_the_rule_do_not_close_a_stage() -> None:
    with pytest.raises(UpdateRefusedError):
        collection(rule="krum", byzantine_max=1).make_closing("updates", NAMES)


def test_how_many_were_cut_at_the_bound_is_told_except_where_no_noise_would_hide_it() -> None:
    updates = {"alma": (PLAN.clip_norm, 0.0), "berta": (0.5, 0.0), "carl": (0.0, -PLAN.clip_norm)}
    figures = three(**updates).combine().figures
    assert figures[CLIP_RATE] == pytest.approx(2 / 3)
    assert figures["used"] == 3.0
    private = replace(PLAN, privacy=replace(PLAN.privacy, level="client", noise_multiplier=1.0))
    made = collection(private)
    for name in NAMES:
        made.accept("updates", said(name, 1.0, 0.0, plan=private))
    assert set(closed(made, *NAMES).combine().figures) == {"capped", "used"}


def test_agreement_is_a_cosine_and_nothing_agrees_with_nothing() -> None:
    made = three(alma=(2.0, 0.0), berta=(-0.5, 0.0), carl=(0.0, 0.0))
    assert made.measure_agreement(np.array([0.3, 0.0])) == pytest.approx({"alma": 1.0, "berta": -1.0, "carl": 0.0})
    slanted = three(alma=(1.0, 1.0), berta=(0.0, 0.1), carl=(0.1, 0.0)).measure_agreement(np.array([0.0, 5.0]))
    assert slanted == pytest.approx({"alma": 0.5**0.5, "berta": 1.0, "carl": 0.0})
    assert made.measure_agreement(np.zeros(2)) == {"alma": 0.0, "berta": 0.0, "carl": 0.0}


def test_a_late_update_pulls_less_weighs_the_same_and_is_shown_to_nobody() -> None:
    made = collection()
    made.accept_late(said("alma", 1.0, 0.0, cross_site=True), 3)
    made.accept("updates", said("berta", 0.0, 1.0))
    closed(made, "alma", "berta")
    late = compute_staleness_weight(3)
    assert late < 1
    assert made.combine().update == pytest.approx([late / 2, 0.5])
    assert made.combine().weight == 1.0
    assert made.list_willing() == {}


def test_an_update_is_shown_clipped_and_only_of_members_that_are_willing() -> None:
    made = collection()
    made.accept("updates", said("alma", 30.0, 40.0, cross_site=True))
    made.accept("updates", said("berta", 0.0, 1.0))
    made.accept("updates", said("carl", 1.0, 0.0, cross_site=True))
    shown = closed(made, "alma", "berta").list_willing()
    assert list(shown) == ["alma"]
    assert shown["alma"].update.tolist() == pytest.approx([PLAN.clip_norm * 0.6, PLAN.clip_norm * 0.8])
    assert shown["alma"].sealing_key == IDENTITIES["alma"].public.sealing_key


@pytest.mark.parametrize(
    "changes", [{"frauds": 101}, {"metrics": {"ap": float("inf")}}, {"payload": b"x"}, {"payload": b""}]
)
def test_an_update_that_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    made = collection()
    good = said("alma", 1.0, 0.0)
    with pytest.raises(UpdateRefusedError):
        made.accept("updates", good._replace(message=replace(good.message, **changes)))
    made.accept("updates", said("alma", 1.0, 0.0, examples=100, frauds=100))


def test_an_update_that_everyone_could_read_is_refused() -> None:
    open_to_all = said("alma", 1.0, 0.0)
    open_to_all = open_to_all._replace(envelope=replace(open_to_all.envelope, recipient=None))
    with pytest.raises(UpdateRefusedError, match="sealed to the coordinator"):
        collection().accept("updates", open_to_all)
