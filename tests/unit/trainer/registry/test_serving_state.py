"""Which model serves, and which one a rollback goes to."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from trainer.registry.serving_state import find_challenger, find_previously_serving, find_serving_version, pin_objection
from trainer.registry.tables import Challenge, Pin, Promotion

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def history(steps: Sequence[str]) -> list[Promotion]:
    """Newest first. `A`: promoted; `<A`: rolled back to; `?A`: begun and never confirmed."""
    return [
        Promotion(step[-1], NOW, "ann", confirmed=step[0] != "?", kind="rollback" if step[0] == "<" else "manual")
        for step in reversed(steps)
    ]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], None),
        (["A"], None),
        (["A", "A"], None),
        (["A", "B"], "A"),
        (["A", "B", "?C"], "A"),
        (["A", "B", "C", "<B"], "A"),
        (["A", "B", "C", "<B", "<A"], None),
        (["A", "B", "C", "<B", "D"], "B"),
        (["A", "B", "C", "A"], "C"),
        (["A", "B", "B"], "A"),
        (["<B", "C"], "B"),  # older rows are beyond what was read
    ],
)
def test_a_rollback_goes_to_what_served_before_and_again_further_back(steps: list[str], expected: str | None) -> None:
    assert find_previously_serving(history(steps)) == expected


def test_what_was_never_confirmed_does_not_serve() -> None:
    assert find_serving_version(history(["A", "?B"])) == "A"
    assert find_serving_version(history(["?B"])) is None


def test_a_pin_says_who_set_it_when_and_how_it_ends() -> None:
    assert pin_objection(None) is None
    said = pin_objection(Pin("A", NOW, "ann", ""))
    assert said is not None
    assert "A was pinned by ann on 2026-05-01 00:00 UTC; `tillguard models unpin`" in said


def test_a_withdrawn_challenger_is_none() -> None:
    canary = Challenge("A", "canary", 0.1, NOW, "ann", confirmed=True)
    none = Challenge(None, "shadow", 0.0, NOW, "ann", confirmed=True)
    assert find_challenger([canary]) == canary
    assert find_challenger([none, canary]) is None
    assert find_challenger([canary._replace(confirmed=False), none]) is None
