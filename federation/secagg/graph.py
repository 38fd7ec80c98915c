"""Who shares masks with whom, and how many must stay. Pure.

Up to 33 members (`is_complete`) everyone is everyone's neighbour and t > 2n/3 of them must stay (Bonawitz et al. 2017). Beyond
it, members stand on a ring in an order that nobody chooses (drawn from the digest of all their fresh keys), and each has the
k nearest as neighbours (Bell et al. 2020, section 3); of each neighbourhood t > 3/4 must stay.

Why these thresholds, where a coordinator may tell different members different lists of survivors (there is no round of
confirmations): a member gives, for each neighbour, a share of its self mask or of its key, never both, and does not answer
where fewer than t of its neighbourhood survive. On the complete graph t > 2n/3 shares of both kinds would take more than n
answers, so no neighbour is both; and the smallest sum that such lists can open holds more than half of the members. Who
colludes gives both shares: both secrets of one member then take 2t - n colluders, more than a third of all.

On a ring, to open the sum of members in a row alone, everyone next to them must be made "dropped" by t of its neighbours, while
nobody grants more than m - t of these: at 2/3 this could be done, above 3/4 it cannot. With colluders it can: one member's
update not while 7 of the 33 of each neighbourhood collude, wherever they stand, but from 12 evenly spread; the sum of 16 in
a row from 8, of 40 from 6 evenly spread (`tests/unit/federation/secagg/test_graph.py`, by linear programming).
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from federation.refusals import MaskingRefusedError

COMPLETE_MAX = 32
"""Members of a complete graph at most, or one more than a ring's neighbours; what everyone uploads grows with it by some 1.9 kB each."""
NEIGHBOURS = 32
"""On a ring, 16 to each side: with 5% lost, one neighbourhood in 50,000 falls below its threshold."""
COMPLETE_GRAPH, RING_GRAPH = (2, 3), (3, 4)
"""More than this fraction must stay: of all, and of each neighbourhood."""
MEMBERS_MIN = 3
"""A sum of two shows each the other's update."""


class Graph(NamedTuple):
    """The graph of one attempt: fixed once the members and their keys are known."""

    members: tuple[str, ...]
    """Sorted; a member's share carries the point 1 + its place here."""
    neighbourhoods: dict[str, tuple[str, ...]]
    """Each member's neighbours and itself, sorted."""
    complete: bool

    def get_point(self, name: str) -> int:
        """Where the polynomials of others are evaluated for `name`."""
        return self.members.index(name) + 1

    def compute_threshold(self, owner: str) -> int:
        """How many of the owner's neighbourhood (itself included) must stay."""
        return compute_threshold(len(self.neighbourhoods[owner]), complete=self.complete)

    @property
    def survivors_min(self) -> int:
        """How many of all must stay, whatever their neighbourhoods."""
        return compute_threshold(len(self.members), complete=self.complete)


def compute_threshold(size: int, *, complete: bool) -> int:
    """The least number of `size` that is more than 2/3 (complete graph) or 3/4 (ring) of it."""
    part, whole = COMPLETE_GRAPH if complete else RING_GRAPH
    return part * size // whole + 1


def compute_cohort_threshold(size: int, neighbours: int = NEIGHBOURS) -> int:
    """`survivors_min` of `size` members: what a plan says of its whole cohort."""
    return compute_threshold(size, complete=is_complete(size, neighbours))


def is_complete(size: int, neighbours: int = NEIGHBOURS) -> bool:
    """Whether in a cohort of `size` everyone is everyone's neighbour."""
    return size <= max(COMPLETE_MAX, neighbours + 1)


def build_graph(members: Sequence[str], seed: bytes, neighbours: int = NEIGHBOURS) -> Graph:
    """The graph over `members`; `seed` is a digest that commits to all their keys."""
    ordered = tuple(sorted(set(members)))
    if len(ordered) != len(members) or len(ordered) < MEMBERS_MIN:
        raise MaskingRefusedError("threshold", f"{len(ordered)} distinct members, at least {MEMBERS_MIN}")
    if is_complete(len(ordered), neighbours):
        return Graph(ordered, dict.fromkeys(ordered, ordered), complete=True)
    if neighbours % 2 or neighbours < 2 * MEMBERS_MIN:
        raise MaskingRefusedError("plan", f"a ring needs an even number of neighbours, at least {2 * MEMBERS_MIN}")
    ring = sorted(ordered, key=lambda name: hashlib.sha256(seed + name.encode()).digest())
    half, count = neighbours // 2, len(ring)
    near = {
        name: tuple(sorted(ring[(place + step) % count] for step in range(-half, half + 1)))
        for place, name in enumerate(ring)
    }
    return Graph(ordered, near, complete=False)
