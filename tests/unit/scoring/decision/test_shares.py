"""Shares are stable by hash, grow without losing anybody, and purposes do not follow each other."""

from scoring.decision.shares import CANARY, CONTROL, compute_place, get_canary_token, is_in_share
from support.workbench import transaction

PLACES = [0.302593878, 0.147296058, 0.413762596]
"""Of ann, bob and nobody: a changed hash would send customers of a running canary to the other model."""
TOKENS = [f"customer-{number}" for number in range(20_000)]


def test_a_place_is_the_same_for_ever() -> None:
    assert [round(compute_place(token, CANARY), 9) for token in ("ann", "bob", "")] == PLACES
    assert compute_place("ann", CANARY) != compute_place("ann", CONTROL)


def test_a_share_holds_about_as_many_as_it_says_and_its_ends_nobody_and_everybody() -> None:
    for share in (0.01, 0.1, 0.5):
        held = sum(is_in_share(token, CANARY, share) for token in TOKENS)
        assert abs(held / len(TOKENS) - share) < 4 * (share / len(TOKENS)) ** 0.5
    assert not any(is_in_share(token, CANARY, 0.0) for token in TOKENS)
    assert all(is_in_share(token, CANARY, 1.0) for token in TOKENS)
    assert not is_in_share("ann", CANARY, compute_place("ann", CANARY))


def test_a_share_that_grows_keeps_everybody_who_was_in_it() -> None:
    few, many = ({token for token in TOKENS if is_in_share(token, CANARY, share)} for share in (0.05, 0.2))
    assert few < many


def test_who_is_in_one_share_is_no_more_often_in_another() -> None:
    canary = [token for token in TOKENS if is_in_share(token, CANARY, 0.1)]
    both = sum(is_in_share(token, CONTROL, 0.1) for token in canary)
    assert abs(both / len(canary) - 0.1) < 0.03


def test_a_canary_counts_by_customer_or_else_by_transaction() -> None:
    assert get_canary_token(transaction(1, customer="ann")) == get_canary_token(transaction(2, customer="ann")) == "ann"
    assert get_canary_token(transaction(1, customer=None)) == "t-1"
