from datetime import UTC, datetime

import numpy as np
import pytest

from demo.federation import members
from demo.federation.members import MEMBERS, Member
from simulator.profile import Profile
from simulator.sales import KINDS
from trainer.examples.examples import FRAUDS_MIN, split_rows

NOW = datetime(2026, 3, 14, 15, tzinfo=UTC)


@pytest.mark.parametrize("seed", [7, pytest.param(11, marks=pytest.mark.slow)])
@pytest.mark.parametrize("place", range(len(MEMBERS)))
def test_nothing_of_a_kind_that_a_member_has_not_seen_is_ever_learned_from(place: int, seed: int) -> None:
    member = MEMBERS[place]
    sold = members.simulate_past(member, place, seed, NOW)
    assert {entry.truth.kind for entry in sold.old} == {None, *member.seen}
    stored = [*sold.old, *sold.new]
    fraud = np.array([entry.truth.fraud for entry in stored])
    train, validation, test = split_rows(fraud)
    assert {stored[row].truth.kind for row in train} <= {None, *member.seen}
    judged = {stored[row].truth.kind for row in (*validation, *test)}
    assert judged & set(member.never_seen), "the gate has something to judge by"
    for name, rows in (("train", train), ("validation", validation), ("test", test)):
        assert fraud[rows].sum() >= FRAUDS_MIN[name]
    old = np.array([entry.truth.fraud for entry in sold.old])
    for name, rows in zip(FRAUDS_MIN, split_rows(old), strict=True):
        assert old[rows].sum() >= FRAUDS_MIN[name], "it can learn alone"
    for kind in member.never_seen:
        assert sum(entry.truth.kind == kind for entry in sold.later) >= 5, "recall by kind can be measured"


def test_a_members_past_is_in_time_order_and_the_same_for_the_same_seed() -> None:
    member = Member("oak", ("bots",), 1_500, 0.5, Profile(customers=500))
    sold = members.simulate_past(member, 0, 3, NOW)
    every = [*sold.old, *sold.new, *sold.later]
    times = [entry.sale.event_time for entry in every]
    assert times == sorted(times)
    assert len({entry.sale.transaction_id for entry in every}) == len(every)
    assert sold == members.simulate_past(member, 0, 3, NOW)
    assert member.never_seen == tuple(kind for kind in KINDS if kind != "bots")


def test_the_highest_scores_are_stopped_and_recall_counts_the_wanted_kinds_only() -> None:
    scores = np.array([0.1, 0.9, 0.5, 0.5, 0.2])
    stop = members.choose_stopped(scores, 0.4)
    assert stop.tolist() == [False, True, True, False, False]
    kinds = [None, "bots", "bots", "bots", "stolen_card"]
    assert members.compute_recall(stop, kinds, ["bots"]) == pytest.approx(2 / 3)
    assert members.compute_recall(stop, kinds, ["stolen_card"]) == 0.0
    assert members.compute_recall(stop, kinds, ["coupon_abuse"]) is None
