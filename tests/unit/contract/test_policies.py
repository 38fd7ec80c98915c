"""The fallback: what is decided without a model, a store or a verdict."""

import pytest

from contract.policies import FallbackSettings, decide_degraded


@pytest.mark.parametrize(
    ("amount", "decision", "expected"),
    [
        (19_999, "flag", "flag"),
        (20_000, "flag", "hold"),
        (20_000, "allow", "hold"),
        (20_000, "block", "block"),
        (0, "allow", "allow"),
    ],
)
def test_the_fallback_holds_from_an_amount_on_and_never_softens(amount: int, decision: str, expected: str) -> None:
    settings = FallbackSettings(decision=decision, hold_from=200.0)
    assert decide_degraded(amount, "EUR", settings) == expected


def test_the_fallback_counts_major_units_of_the_base_currency() -> None:
    assert decide_degraded(200, "JPY", FallbackSettings()) == "hold"
    assert decide_degraded(200, "EUR", FallbackSettings()) == "flag"
