"""Everyone computes the same graph; its thresholds leave a coordinator that shows different lists no small sum."""

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.stats import binom

from federation.graph import COMPLETE_MAX, NEIGHBOURS, graph_of, threshold
from federation.refusals import MaskingRefusedError
from federation.secagg import gives

NAMES = [f"p{index:03}" for index in range(100)]


def test_up_to_the_bound_everyone_is_everyone_s_neighbour() -> None:
    graph = graph_of(NAMES[:COMPLETE_MAX], b"seed")
    assert graph.complete
    assert all(near == graph.members for near in graph.neighbourhoods.values())
    assert [graph.point(name) for name in graph.members] == list(range(1, COMPLETE_MAX + 1))
    assert graph.threshold("p000") == graph.survivors_min == 22


def test_beyond_it_each_has_its_k_nearest_on_a_ring_that_the_seed_orders() -> None:
    graph, other = graph_of(NAMES, b"seed"), graph_of(NAMES, b"another")
    assert not graph.complete
    assert all(len(near) == NEIGHBOURS + 1 and name in near for name, near in graph.neighbourhoods.items())
    assert all(name in graph.neighbourhoods[peer] for name in NAMES for peer in graph.neighbourhoods[name])
    assert graph == graph_of(NAMES[::-1], b"seed")
    assert graph.neighbourhoods != other.neighbourhoods
    assert graph.threshold("p000") == 25
    assert graph.survivors_min == 76


@pytest.mark.parametrize("size", range(3, 40))
def test_thresholds_are_the_least_numbers_above_their_shares(size: int) -> None:
    complete, ring = threshold(size, complete=True), threshold(size, complete=False)
    assert 3 * complete > 2 * size >= 3 * (complete - 1)
    assert 4 * ring > 3 * size >= 4 * (ring - 1)
    assert complete <= size
    assert ring <= size


@pytest.mark.parametrize("members", [[], ["a", "b"], ["a", "b", "b"], ["a", "a", "b", "c"]])
def test_too_few_or_doubled_members_have_no_graph(members: list[str]) -> None:
    with pytest.raises(MaskingRefusedError, match="threshold"):
        graph_of(members, b"")


@pytest.mark.parametrize("neighbours", [4, 9])
def test_a_ring_of_small_or_odd_neighbourhoods_is_refused(neighbours: int) -> None:
    with pytest.raises(MaskingRefusedError, match="plan"):
        graph_of(NAMES, b"", neighbours)


def test_of_each_pair_one_gives_and_both_halves_are_alike() -> None:
    members = NAMES[:10]
    given = {name: sum(gives(name, peer, members) for peer in members if peer != name) for name in members}
    assert all(gives(a, b, members) != gives(b, a, members) for a in members for b in members if a != b)
    assert set(given.values()) <= {4, 5}


def arc_can_be_opened(neighbours: int, least: int, colluding: int) -> bool:
    """Whether votes exist by which all nodes beside an arc's end are rebuilt as dropped, while the arc's own answer.

    One end of the arc, whose last node is 0: nodes 1..k/2 must each get `least` votes "dropped". The `colluding` of each
    neighbourhood, evenly spread, give theirs for nothing; of the others each grants at most (neighbours + 1 - least).
    Fractions of votes are allowed, which helps the attacker.
    """
    half, honest = neighbours // 2, 1 - colluding / (neighbours + 1)
    most = (neighbours + 1 - least) * honest
    targets, voters = range(1, half + 1), range(1 - half, 2 * half + 1)
    pairs = [(voter, target) for voter in voters for target in targets if abs(voter - target) <= half]
    of_voter = np.array([[1.0 * (pair[0] == voter) for pair in pairs] for voter in voters])
    of_target = np.array([[-1.0 * (pair[1] == target) for pair in pairs] for target in targets])
    bounds = np.concatenate([np.full(len(voters), most), np.full(half, -(least - colluding))])
    solved = linprog(np.zeros(len(pairs)), np.vstack([of_voter, of_target]), bounds, bounds=(0, honest))
    return bool(solved.status == 0)


def test_different_lists_cannot_open_an_arc_of_a_ring_even_with_colluding_neighbours() -> None:
    size = NEIGHBOURS + 1
    least = threshold(size, complete=False)
    assert not arc_can_be_opened(NEIGHBOURS, least, colluding=0)
    assert not arc_can_be_opened(NEIGHBOURS, least, colluding=size // 3)
    # The bound of complete graphs would not do on a ring, and neither would this one against a majority.
    assert arc_can_be_opened(NEIGHBOURS, threshold(size, complete=True), colluding=0)
    assert arc_can_be_opened(NEIGHBOURS, least, colluding=size // 2)


def test_with_one_in_twenty_lost_a_neighbourhood_hardly_ever_falls_below_its_threshold() -> None:
    lost_max = NEIGHBOURS + 1 - threshold(NEIGHBOURS + 1, complete=False)
    assert lost_max == 8
    assert binom.sf(lost_max, NEIGHBOURS, 0.05) < 1 / 50_000
