"""Everyone computes the same graph; its thresholds leave a coordinator that shows different lists no small sum."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.stats import binom

from federation.refusals import MaskingRefusedError
from federation.secagg.graph import COMPLETE_MAX, NEIGHBOURS, build_graph, compute_threshold
from federation.secagg.masked_sum import is_giver

NAMES = [f"p{index:03}" for index in range(100)]


def test_up_to_the_bound_everyone_is_everyone_s_neighbour() -> None:
    graph = build_graph(NAMES[:COMPLETE_MAX], b"seed")
    assert graph.complete
    assert all(near == graph.members for near in graph.neighbourhoods.values())
    assert [graph.get_point(name) for name in graph.members] == list(range(1, COMPLETE_MAX + 1))
    assert graph.compute_threshold("p000") == graph.survivors_min == 22


def test_beyond_it_each_has_its_k_nearest_on_a_ring_that_the_seed_orders() -> None:
    graph, other = build_graph(NAMES, b"seed"), build_graph(NAMES, b"another")
    assert not graph.complete
    assert all(len(near) == NEIGHBOURS + 1 and name in near for name, near in graph.neighbourhoods.items())
    assert all(name in graph.neighbourhoods[peer] for name in NAMES for peer in graph.neighbourhoods[name])
    assert graph == build_graph(NAMES[::-1], b"seed")
    assert graph.neighbourhoods != other.neighbourhoods
    assert graph.compute_threshold("p000") == 25
    assert graph.survivors_min == 76


@pytest.mark.parametrize(("neighbours", "most"), [(NEIGHBOURS, NEIGHBOURS + 1), (10, COMPLETE_MAX), (40, 41)])
def test_a_graph_is_complete_as_long_as_all_are_neighbours_or_few(neighbours: int, most: int) -> None:
    assert build_graph(NAMES[:most], b"seed", neighbours).complete
    assert not build_graph(NAMES[: most + 1], b"seed", neighbours).complete


@pytest.mark.parametrize("size", range(3, 40))
def test_thresholds_are_the_least_numbers_above_their_shares(size: int) -> None:
    complete, ring = compute_threshold(size, complete=True), compute_threshold(size, complete=False)
    assert 3 * complete > 2 * size >= 3 * (complete - 1)
    assert 4 * ring > 3 * size >= 4 * (ring - 1)
    assert complete <= size
    assert ring <= size


@pytest.mark.parametrize("members", [[], ["a", "b"], ["a", "b", "b"], ["a", "a", "b", "c"]])
def test_too_few_or_doubled_members_have_no_graph(members: list[str]) -> None:
    with pytest.raises(MaskingRefusedError, match="threshold"):
        build_graph(members, b"")


@pytest.mark.parametrize("neighbours", [4, 9])
def test_a_ring_of_small_or_odd_neighbourhoods_is_refused(neighbours: int) -> None:
    with pytest.raises(MaskingRefusedError, match="plan"):
        build_graph(NAMES, b"", neighbours)


def test_of_each_pair_one_gives_and_both_halves_are_alike() -> None:
    members = NAMES[:10]
    given = {name: sum(is_giver(name, peer, members) for peer in members if peer != name) for name in members}
    assert all(is_giver(a, b, members) != is_giver(b, a, members) for a in members for b in members if a != b)
    assert set(given.values()) <= {4, 5}
    # Old and new members must agree who gives.
    assert is_giver("p000", "p001", members)
    assert is_giver("p002", "p000", members)


@pytest.mark.parametrize("size", range(3, COMPLETE_MAX + 1))
def test_on_a_complete_graph_a_third_of_all_may_collude(size: int) -> None:
    least, colluding = compute_threshold(size, complete=True), size // 3
    honest = size - colluding
    # Both secrets of one take 2t votes, where colluders give both and others one (test_secagg_collusion tries it out).
    assert 2 * (least - colluding) > honest
    # To leave one alone, all other honest ones must be voted "dropped"; nobody grants more than n - t such votes.
    assert (honest - 1) * (least - colluding) > honest * (size - least)


HALF = NEIGHBOURS // 2


def voting(length: int) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """Places on the ring: who stands next to the honest 0 ... `length` - 1, who can vote on them, and who on whom."""
    beside = [*range(-HALF, 0), *range(length, length + HALF)]
    voters = list(range(beside[0] - HALF, beside[-1] + HALF + 1))
    return beside, voters, [(one, other) for one in voters for other in beside if 0 < abs(one - other) <= HALF]


def opens_with_even_colluders(length: int, colluding: int, least: int) -> bool:
    """Whether different lists of survivors can open the sum of `length` honest members in a row.

    For that everyone next to them must collude, or get `least` votes "dropped" in its neighbourhood, where the `colluding` of
    each neighbourhood give theirs for nothing. An honest member grants k + 1 - least at most: its own list must leave `least`
    of its neighbourhood. x is the part of a place's honest members that grants a vote; fractions help the attacker.
    """
    beside, voters, pairs = voting(length)
    granted = np.array([[1.0 * (pair[0] == one) for pair in pairs] for one in voters])
    received = np.array([[-1.0 * (pair[1] == one) for pair in pairs] for one in beside])
    bounds = np.concatenate(
        [np.full(len(voters), NEIGHBOURS + 1 - least), np.full(len(beside), float(colluding - least))]
    )
    honest = 1 - colluding / (NEIGHBOURS + 1)
    solved = linprog(np.zeros(len(pairs)), np.vstack([granted, received]), bounds, bounds=(0, honest))
    return bool(solved.status == 0)


def fewest_colluders(length: int, least: int) -> float:
    """A lower bound of how many of some neighbourhood must collude, wherever they stand, to open the same sum.

    As above, with a variable for everyone who may collude: the relaxation of the question which ones do it best.
    """
    beside, voters, pairs = voting(length)
    places = list(range(voters[0] - HALF, voters[-1] + HALF + 1))
    column = {place: index for index, place in enumerate(places)}
    most, first = len(places), len(places) + 1  # the column of the answer, and that of the first pair
    rows: list[NDArray[np.float64]] = []
    bounds: list[float] = []

    def at_most(bound: float) -> NDArray[np.float64]:
        rows.append(np.zeros(first + len(pairs)))
        bounds.append(bound)
        return rows[-1]

    for voter in voters:
        row = at_most(NEIGHBOURS + 1 - least)
        row[column[voter]] = NEIGHBOURS + 1 - least
        row[first:] = [1.0 * (one == voter) for one, _ in pairs]
    for target in beside:
        row = at_most(-least)
        row[column[target - HALF] : column[target + HALF] + 1] = -1
        row[column[target]] -= least
        row[first:] = [-1.0 * (other == target) for _, other in pairs]
    for index, (voter, _) in enumerate(pairs):
        row = at_most(1)
        row[[column[voter], first + index]] = 1
    for start in range(len(places) - NEIGHBOURS):
        row = at_most(0)
        row[start : start + NEIGHBOURS + 1] = 1
        row[most] = -1
    limits = [(0, 0 if 0 <= place < length else 1) for place in places] + [(0, None)] + [(0, 1)] * len(pairs)
    cost = np.zeros(first + len(pairs))
    cost[most] = 1
    return float(linprog(cost, np.array(rows), bounds, bounds=limits).fun)


def test_on_a_ring_seven_of_each_neighbourhood_may_collude_wherever_they_stand() -> None:
    assert fewest_colluders(1, compute_threshold(NEIGHBOURS + 1, complete=False)) > 7
    # Nor is one member's other secret to be had: as on the complete graph, but that takes more.
    assert 2 * (compute_threshold(NEIGHBOURS + 1, complete=False) - 7) > NEIGHBOURS + 1 - 7


@pytest.mark.parametrize(("length", "colluding"), [(1, 11), (16, 7), (40, 5)])
def test_on_a_ring_so_many_evenly_spread_open_nothing_of_this_length_and_one_more_does(
    length: int, colluding: int
) -> None:
    least = compute_threshold(NEIGHBOURS + 1, complete=False)
    assert not opens_with_even_colluders(length, colluding, least)
    assert opens_with_even_colluders(length, colluding + 1, least)


def test_on_a_ring_the_threshold_of_complete_graphs_would_not_do() -> None:
    assert opens_with_even_colluders(40, 0, compute_threshold(NEIGHBOURS + 1, complete=True))


def test_with_one_in_twenty_lost_a_neighbourhood_hardly_ever_falls_below_its_threshold() -> None:
    lost_max = NEIGHBOURS + 1 - compute_threshold(NEIGHBOURS + 1, complete=False)
    assert lost_max == 8
    assert binom.sf(lost_max, NEIGHBOURS, 0.05) < 1 / 50_000
