"""How many must collude with a coordinator that shows members different lists, so that one update opens: what the docs say."""

import copy

import numpy as np
import pytest

from contract.federation.messages import SurvivorList
from federation.numeric.masks import RING_TYPES, Words, add_masks
from federation.secagg.graph import compute_threshold
from federation.secagg.shamir import combine
from support.masking_round import Attempt

VICTIM = "p000"


def opened(attempt: Attempt, colluding: int, told_survived: int) -> Words | None:
    """The victim's words as far as its coordinator gets them; None where a secret lacks shares.

    The last `colluding` members give it all they hold. Of the honest ones the first `told_survived`, the victim among them,
    are shown a list in which the victim survived; the others one in which it dropped. No member can tell: each sees one list.
    """
    coordinator, cohort = attempt.coordinator, attempt.plan.cohort
    honest = cohort[: len(cohort) - colluding]
    survived = SurvivorList(survivors=cohort, dropped=())
    dropped = SurvivorList(survivors=cohort[1:], dropped=(VICTIM,))
    selves = {name: attempt.members[name]._held[VICTIM][0] for name in cohort[len(honest) :]}
    keys = {name: attempt.members[name]._held[VICTIM][1] for name in cohort[len(honest) :]}
    for place, name in enumerate(honest):
        # A copy answers, so that a test may try every division of the same members.
        answer = copy.copy(attempt.members[name]).make_unmasking(survived if place < told_survived else dropped)
        if VICTIM in answer.survivors_shares:
            selves[name] = answer.survivors_shares[VICTIM]
        if VICTIM in answer.dropped_shares:
            keys[name] = answer.dropped_shares[VICTIM]
    points = coordinator._graph.get_point
    least = coordinator._graph.compute_threshold(VICTIM)
    self_seed = combine({points(name): share for name, share in selves.items()}, least)
    key_seed = combine({points(name): share for name, share in keys.items()}, least)
    if self_seed is None or key_seed is None:
        return None
    coordinator._survivors = cohort[1:]
    plus: list[bytes] = []
    minus = [coordinator._transcript.derive_self_mask(self_seed, VICTIM)]
    # What takes the victim's masks out of the others' sum stands in its own words with the other sign.
    coordinator._cancel(VICTIM, key_seed, minus, plus)
    words = np.frombuffer(coordinator._updates[VICTIM], RING_TYPES[attempt.plan.bits]).copy()
    add_masks(words, plus, minus)
    return words


@pytest.mark.parametrize("count", [4, 7, 10])
def test_two_lists_open_an_update_only_where_more_than_a_third_collude(count: int) -> None:
    attempt = Attempt(count=count)
    attempt.updates()
    enough = 2 * compute_threshold(count, complete=True) - count
    divided = [opened(attempt, enough, told) for told in range(1, count - enough + 1)]
    found = [words for words in divided if words is not None]
    assert found, "the bound that the docs give is no bound"
    np.testing.assert_array_equal(found[0], attempt.vectors[VICTIM])
    for told in range(1, count - enough + 2):
        assert opened(attempt, enough - 1, told) is None
