"""A skew check as a person reads it."""

import io
import math

import numpy as np
import pytest
from rich.console import Console

from tillguard.history.skew import Checked
from tillguard.views.skew_report import TOP, WHY, as_json, render
from trainer.drift.skew import FeatureSkew, Skew

MANY = [
    FeatureSkew("amount", 3, math.inf, "t-9", None, 2.5),
    *(FeatureSkew(f"f{number}", 1, 0.25, "t-1", 1.0, 1.25) for number in range(TOP)),
]
DIFFERENT = Skew(1_000, 4, MANY, {"content": 3, "windows": 1}, risk_unseeded=True)


def page(skew: Skew, gone: int = 0) -> str:
    output = io.StringIO()
    checked = Checked(skew, 2_000, gone, [], np.zeros((0, 0), np.float32))
    Console(file=output, width=240).print(render(checked))
    return output.getvalue()


def test_what_differs_is_shown_with_its_cause_and_the_rest_is_counted() -> None:
    told = page(DIFFERENT, gone=7)
    assert "1,000 transactions as served against a replay of them: 4 differ." in told
    assert "The replay took 2,000 other transactions" in told
    assert "7 more are not on the transactions topic any more" in told
    assert "Risk is not seeded" in told
    (amount,) = (line for line in told.splitlines() if "amount" in line and "│" in line)
    assert [cell.strip() for cell in amount.strip("│").split("│")] == ["amount", "3", "inf", "missing", "2.5", "t-9"]
    assert f"f{TOP - 2}" in told
    assert f"f{TOP - 1}" not in told
    assert "and 1 more (--json)" in told
    assert f"3: {WHY['content']}." in told.replace("\n", " ")


def test_where_nothing_differs_nothing_is_shown() -> None:
    told = page(Skew(9, 0, [], {}, risk_unseeded=False))
    assert "every float is the same" in told
    assert "Risk" not in told
    assert "gone" not in told
    assert "more are not" not in told


@pytest.mark.parametrize(("largest", "told"), [(math.inf, None), (0.25, 0.25)])
def test_a_program_reads_an_endless_difference_as_null(largest: float, told: float | None) -> None:
    skew = DIFFERENT._replace(features=[MANY[0]._replace(largest=largest)])
    found = as_json(Checked(skew, 2_000, 7, [], np.zeros((0, 0), np.float32)))
    assert found["features"][0]["largest"] == told
    assert (found["compared"], found["different"], found["context"], found["gone"]) == (1_000, 4, 2_000, 7)
    assert (found["risk_unseeded"], found["causes"]) == (True, {"content": 3, "windows": 1})
