"""What counts as known of a transaction."""

import itertools
from dataclasses import replace

import pytest

from trainer.examples.labels import (
    Known,
    Overlap,
    Revision,
    Terms,
    compute_overlaps,
    find_distrusted,
    find_newest,
    judge,
)

TRUSTED = frozenset({"chargeback", "analyst"})
TERMS = Terms(
    as_of_ms=1_000, ripe_before_ms=500, unlabelled_weight=0.5, trusted_sources=TRUSTED, trust_unlabelled=True
)  # fmt: skip


def revision(at: int, *, fraud: bool, source: str = "chargeback", number: int = 0, kind: str | None = None) -> Revision:
    return Revision(at, number, source, fraud, kind)


def known(*revisions: Revision, at: int = 100, decision: str = "allow", control: bool = False) -> Known:
    return Known("t", at, 1, decision, control, 100, revisions)


def test_the_latest_label_holds_in_any_order_and_of_equals_the_one_that_came_last() -> None:
    late, early = revision(9, fraud=False, number=1), revision(3, fraud=True, number=2)
    equal = revision(9, fraud=True, number=3)
    for order in itertools.permutations((late, early, equal)):
        assert find_newest(order) == equal
    assert find_newest([]) is None


def test_a_label_counts_fully_and_names_the_kind_of_fraud() -> None:
    assert judge(known(revision(3, fraud=True, kind="bots")), TERMS) == (True, 1.0, "bots", True)
    assert judge(known(revision(3, fraud=True)), TERMS) == (True, 1.0, "unknown", True)
    assert judge(known(revision(3, fraud=False, kind="bots")), TERMS) == (False, 1.0, "", False)


def test_a_label_from_after_the_moment_does_not_exist_yet() -> None:
    assert judge(known(revision(1_001, fraud=True)), TERMS) == (False, 0.5, "", False)
    both = known(revision(1_000, fraud=True), revision(1_001, fraud=False))
    assert judge(both, TERMS) == (True, 1.0, "unknown", True)


def test_without_a_label_only_age_makes_a_transaction_genuine_with_less_weight() -> None:
    assert judge(known(at=500), TERMS) == (False, 0.5, "", False)
    assert judge(known(at=501), TERMS) is None
    assert judge(known(at=500), replace(TERMS, trust_unlabelled=False)) == (False, 0.5, "", None)


def test_a_young_transaction_with_a_label_is_an_example() -> None:
    assert judge(known(revision(900, fraud=True), at=800), TERMS) == (True, 1.0, "unknown", True)


@pytest.mark.parametrize("decision", ["hold", "block"])
def test_what_was_stopped_is_no_example_without_a_label(decision: str) -> None:
    assert judge(known(decision=decision), TERMS) is None
    assert judge(known(revision(3, fraud=False), decision=decision), TERMS) == (False, 1.0, "", False)
    assert judge(known(decision=decision, control=True), TERMS) == (False, 0.5, "", False)


def test_an_untrusted_source_is_learned_from_and_verifies_nothing() -> None:
    customer = revision(5, fraud=True, source="customer")
    assert judge(known(customer), TERMS) == (True, 1.0, "unknown", None)
    assert judge(known(revision(3, fraud=False), customer), TERMS) == (True, 1.0, "unknown", False)


def test_a_distrusted_source_neither_teaches_nor_hides() -> None:
    terms = Terms(1_000, 500, 0.5, TRUSTED, trust_unlabelled=True, distrusted=frozenset({"customer"}))
    customer = revision(5, fraud=True, source="customer")
    assert judge(known(customer), terms) is None
    assert judge(known(revision(3, fraud=False), customer), terms) == (False, 1.0, "", False)


def test_a_source_that_trusted_ones_contradict_too_often_is_found_out() -> None:
    def twice(*, wrong: bool) -> Known:
        return known(revision(1, fraud=wrong, source="customer"), revision(2, fraud=False))

    some = [twice(wrong=place % 20 == 0) for place in range(400)]
    found = compute_overlaps(some, TRUSTED, 1_000)
    assert found == {"customer": Overlap(400, 20)}
    assert 0.03 < found["customer"].surely_above < 0.05
    assert find_distrusted(found, 0.03) == {"customer"}
    assert find_distrusted(found, 0.05) == set()
    assert find_distrusted(compute_overlaps([twice(wrong=True)] * 19, TRUSTED, 1_000), 0.03) == set()
    assert find_distrusted(compute_overlaps([twice(wrong=True)] * 20, TRUSTED, 1_000), 0.03) == {"customer"}
    assert find_distrusted(found, found["customer"].surely_above) == set()


def test_only_labels_on_the_same_transaction_contradict_each_other() -> None:
    apart = [known(revision(1, fraud=True, source="customer")), known(revision(2, fraud=False))]
    assert compute_overlaps(apart, TRUSTED, 1_000) == {}
    changed = known(
        revision(1, fraud=True, source="customer"),
        revision(2, fraud=False, source="customer"),
        revision(3, fraud=False),
    )
    assert compute_overlaps([changed], TRUSTED, 1_000) == {"customer": Overlap(1, 0)}
    unverified = known(revision(1, fraud=True, source="customer"), revision(2, fraud=True, source="rules"))
    assert compute_overlaps([*apart, unverified, changed], TRUSTED, 1_000) == {"customer": Overlap(1, 0)}
