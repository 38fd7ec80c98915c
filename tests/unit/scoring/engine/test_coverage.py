"""A worker knows what its model expects and what the state does not hold."""

from datetime import UTC, datetime

import pytest

from contract.clock import to_epoch_ms
from contract.windows import DAY_MS
from scoring.engine.coverage import Coverage, describe_gaps, find_gaps, needs_risk
from support.tiny_model import tiny_manifest

DAY_0 = to_epoch_ms(datetime(2026, 3, 1, tzinfo=UTC))


def at(day: float) -> int:
    return DAY_0 + int(day * DAY_MS)


@pytest.mark.parametrize(
    ("coverage", "day", "kinds"),
    [
        (Coverage(), 0, ("risk", "windows")),
        (Coverage(at(0), at(1), at(30)), 31, ()),
        (Coverage(at(0), at(1), at(20)), 29, ("windows",)),
        (Coverage(at(0)), 31, ("risk",)),
        (Coverage(at(0), at(1), at(2)), 2 + 37, ("risk",)),  # 30 days behind a delay of 7: forgotten
        (Coverage(at(0), at(1), at(2)), 2 + 36.9, ()),
    ],
)
def test_state_that_reaches_less_far_back_than_features_is_told(
    coverage: Coverage, day: float, kinds: tuple[str, ...]
) -> None:
    assert find_gaps(coverage, at(day), risk=True, label_delay_days=7) == kinds


def test_a_model_that_never_saw_risk_misses_none() -> None:
    assert find_gaps(Coverage(at(0)), at(31), risk=False, label_delay_days=7) == ()


def test_a_manifest_that_does_not_say_so_may_have_learned_from_risk() -> None:
    assert [needs_risk(tiny_manifest(b"", risk=known)) for known in (True, None, False)] == [True, True, False]


def test_a_gap_names_its_end_and_what_to_do() -> None:
    risk, windows = describe_gaps(Coverage(at(0)), ("risk", "windows"), retailer="shop", label_delay_days=7)
    assert "risk is not seeded" in risk.text
    assert "tillguard trainer run --retailer shop" in risk.remedy
    assert "windows begin on 2026-03-01" in windows.text
    assert "incomplete until 2026-03-31" in windows.text
    (old,) = describe_gaps(Coverage(at(0), at(1), at(2)), ("risk",), retailer="shop", label_delay_days=7)
    assert "newest fraud that the workers know of is of 2026-03-03, and they look back 37 days" in old.text
    (empty,) = describe_gaps(Coverage(), ("windows",), retailer="shop", label_delay_days=7)
    assert "no transaction was taken in yet" in empty.text
