"""Mode masked as the coordinator collects it: the weighted mean of all, from the messages or from a replay of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from msgspec.structs import replace

from contract.federation.fields import Stage
from contract.federation.frames import Envelope, SignedEnvelope
from contract.federation.messages import (
    KeyList,
    MaskingTerms,
    Message,
    RoundPlan,
    ShareList,
    SurvivorList,
    TensorShape,
    Update,
    get_type_name,
)
from federation.coordinator.collection import CLIP_RATE, Closing, Combined
from federation.coordinator.masked import MaskedCollection
from federation.messages.envelope import Opened
from federation.plan_parameters import choose_fixed_point
from federation.refusals import MaskingRefusedError
from federation.secagg.masked_sum import build_masking_plan
from federation.secagg.member_side import MaskingMember
from support.masking_round import FEDERATION, NOW_MS, identity, roster, seeded_bytes, signed
from support.robust_round import robust_plan

NAMES = ("alma", "berta", "carl")
PLAN = robust_plan(
    mode="masked", cohort=NAMES, shapes=(TensorShape(name="w", shape=(2,)),), weight_max=2.0,
    masking=MaskingTerms(ring_bits=32, neighbours=32, threshold=3, scale=2.0**20),
)  # fmt: skip
VALUES = {"alma": (1.0, -1.0, 1.0), "berta": (0.5, 0.0, 0.5), "carl": (-2.0, 3.0, 2.0)}
"""Of each: its update, times its weight, and its weight."""


def heard(sender: str, message: Message, envelope: SignedEnvelope) -> Opened:
    heading = Envelope(
        version=1, federation=FEDERATION, type=get_type_name(message), round=PLAN.round, attempt=PLAN.attempt, sender=sender,
        recipient=None, sent_at_ms=0, epoch=1, body=b"",
    )  # fmt: skip
    return Opened(heading, message, identity(sender).public, envelope)


class Round:
    """All members answer every stage; a second collection is told the same, as a restarted coordinator is by its log."""

    def __init__(self, plan: RoundPlan, values: Mapping[str, Sequence[float]]) -> None:
        masking, fixed = build_masking_plan(FEDERATION, plan), choose_fixed_point(FEDERATION, plan)
        words = {
            name: np.round(np.array(each) * fixed.scale).astype(np.int64).astype(np.uint32)
            for name, each in values.items()
        }
        members = {name: MaskingMember(masking, name, roster, random=seeded_bytes(name)) for name in NAMES}
        self.collection = MaskedCollection(FEDERATION, plan)
        self.replayed = MaskedCollection(FEDERATION, plan)
        keys = self.stage("keys", {name: one.make_keys() for name, one in members.items()})
        assert isinstance(keys, KeyList)
        shares = self.stage("shares", {name: one.make_shares(keys.envelopes, NOW_MS) for name, one in members.items()})
        assert isinstance(shares, ShareList)
        updates = {name: one.mask(shares.envelopes, words[name], NOW_MS) for name, one in members.items()}
        survivors = self.stage("updates", updates)
        assert isinstance(survivors, SurvivorList)
        self.stage("unmasking", {name: one.make_unmasking(survivors) for name, one in members.items()})

    def stage(self, stage: Stage, messages: Mapping[str, Message]) -> Closing:
        plan = build_masking_plan(FEDERATION, PLAN)
        for name, message in messages.items():
            opened = heard(name, message, signed(name, message, plan))
            for collection in (self.collection, self.replayed):
                collection.accept(stage, opened)
        closing = self.collection.make_closing(stage, NAMES)
        assert self.collection.make_closing(stage, NAMES) is closing, "asked again before it stands on the log"
        for collection in (self.collection, self.replayed):
            collection.apply_closing(closing)
        return closing


@pytest.fixture(scope="module")
def ended() -> Round:
    return Round(PLAN, VALUES)


def test_what_comes_out_is_the_mean_by_weight(ended: Round) -> None:
    found = ended.collection.combine()
    np.testing.assert_allclose(found.update, np.array([-0.5, 2.0]) / 3.5, atol=1e-6)
    assert found.weight == pytest.approx(3.5)
    assert (found.participants, found.figures, found.blamed) == (3, {"liars": 0.0}, ())


def test_a_restarted_coordinator_finds_the_same_from_its_log(ended: Round) -> None:
    first, second = ended.collection.combine(), ended.replayed.combine()
    np.testing.assert_array_equal(first.update, second.update)
    assert first._replace(update=second.update) == second


def test_of_single_updates_nothing_is_known(ended: Round) -> None:
    assert ended.collection.measure_agreement(np.ones(2)) == {}
    assert ended.collection.list_separable() == ()
    assert ended.collection.list_willing() == {}
    with pytest.raises(MaskingRefusedError, match="only the sum of all is known"):
        ended.collection.combine(frozenset({"alma", "berta"}))
    late = heard(
        "alma", Update(payload=b"", examples=0, frauds=0, metrics={}), SignedEnvelope(envelope=b"", signature=b"")
    )
    with pytest.raises(MaskingRefusedError, match="its own attempt"):
        ended.collection.accept_late(late, 1)


def test_weights_that_sum_up_to_nothing_are_no_mean() -> None:
    with pytest.raises(MaskingRefusedError, match="sum up to nothing"):
        Round(PLAN, dict.fromkeys(NAMES, (1.0, 1.0, 0.0))).collection.combine()


@pytest.mark.parametrize(
    ("counted", "rate"),
    [((2.0, 0.0, 2.0), 2 / 3), ((-2.0, 0.0, 0.0), 0.0), ((2.0, 2.0, 2.9), 1.0)],
)
def test_the_share_of_updates_that_were_cut_is_told_whatever_a_liar_says(
    counted: tuple[float, ...], rate: float
) -> None:
    values = {name: (0.0, 0.0, 1.0, cut) for name, cut in zip(NAMES, counted, strict=True)}
    found: Combined = Round(replace(PLAN, counts_clipped=True), values).collection.combine()
    assert found.figures == {"liars": 0.0, CLIP_RATE: pytest.approx(rate)}
