"""The case that follows from what was told of a transaction."""

from itertools import permutations

import pytest

from backoffice.projection.changes import TransactionChange, VerdictChange
from backoffice.projection.heads import Head, compute_loss_minor, find_case_state, merge

TOLD = TransactionChange("t-1", 1_000, 1_001, 10_000, False, (), '{"of": "the source"}')


def verdict(revision: int = 1, decision: str = "hold", outcome: str | None = None) -> VerdictChange:
    return VerdictChange(
        "t-1", revision, 1_000, 2_000 + revision, 0, decision, 0.5, revision == 0, False, outcome, 9_000, "{}"
    )


@pytest.mark.parametrize(
    ("decision", "outcome", "resolved", "state"),
    [
        ("hold", None, False, "open"),
        ("flag", None, False, "open"),
        ("block", None, False, "open"),
        ("allow", None, False, None),
        ("hold", None, True, "resolved"),
        ("allow", None, True, None),
        ("allow", "approved", False, "resolved"),
        ("block", "rejected", True, "resolved"),
        ("block", "expired", False, "expired"),
        ("allow", "expired", False, "expired"),
        ("block", "expired", True, "resolved"),
    ],
)
def test_what_a_case_is(decision: str, outcome: str | None, resolved: bool, state: str | None) -> None:
    head = Head("t-1", revision=1, decision=decision, outcome=outcome, resolved=resolved)
    assert find_case_state(head) == state
    assert find_case_state(head._replace(revision=0)) is None
    assert find_case_state(head._replace(revision=None)) is None


def test_an_open_case_of_a_snapshot_is_history() -> None:
    assert find_case_state(Head("t-1", revision=1, decision="flag", history=True)) == "history"
    assert find_case_state(Head("t-1", revision=1, decision="flag", history=True, resolved=True)) == "resolved"


def test_any_order_of_what_was_told_gives_the_same_row() -> None:
    told = [verdict(0, "flag"), verdict(1), verdict(2, "block", "expired"), TOLD]
    rows = set()
    for order in permutations(told):
        head = Head("t-1")
        for each in order:
            transaction = each if isinstance(each, TransactionChange) else None
            verdicts = [each] if isinstance(each, VerdictChange) else []
            head = merge(head, transaction, verdicts, resolved=False)
        rows.add(head)
    (head,) = rows
    assert (head.revision, head.case_state, head.loss_minor, head.due_ms) == (2, "expired", 5_000, 2_002)


def test_a_transaction_that_is_told_again_later_changes_nothing() -> None:
    head = merge(Head("t-1"), TOLD, [], resolved=False)
    again = TOLD._replace(ingest_ms=5_000, base_minor=1, document="{}")
    assert merge(head, again, [], resolved=False) == head
    assert merge(merge(Head("t-1"), again, [], resolved=False), TOLD, [], resolved=False) == head


def test_a_hold_is_due_when_it_expires_and_a_flag_never() -> None:
    assert merge(Head("t-1"), None, [verdict()], resolved=False).due_ms == 9_000
    assert merge(Head("t-1"), None, [verdict(decision="flag")], resolved=False).due_ms is None
    assert merge(Head("t-1"), None, [verdict()], resolved=True).due_ms is None


def test_a_loss_needs_a_score_and_an_amount() -> None:
    assert compute_loss_minor(0.25, 1_000) == 250
    assert compute_loss_minor(None, 1_000) == 0
    assert compute_loss_minor(0.25, None) == 0
