"""Champion against challenger as a person reads it."""

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from contract.models import Thresholds
from tillguard.views.compare_report import as_json, draw_conclusion, render
from trainer.decision.compare import FRAUDS_MIN, LOWER_IS_BETTER, Comparison, Measure, Pairs
from trainer.learning.comparing import Found


def pairs(scores: list[float], frauds: list[bool], amount: float = 10.0) -> Pairs:
    challenger = np.array(scores)
    return Pairs(np.full(len(scores), np.nan), challenger, np.array(frauds, dtype=bool), np.full(len(scores), amount))


NOBODY = pairs([], [])
FOUND = Found(
    pairs=pairs([0.9, 0.1], [True, False]), canary=NOBODY, scored=1_200, canary_answers=0, labelled=1, unripe=3, stopped=0, kept_of=1
)  # fmt: skip
UP, DOWN, NONE = (0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1)


def compared(precision: tuple[float, float], cost: tuple[float, float], frauds: int = FRAUDS_MIN) -> Comparison:
    measures = [
        Measure(name, 1.0, 1.0 + sum(interval) / 2, sum(interval) / 2, *interval)
        for name, interval in (("average_precision", precision), (LOWER_IS_BETTER, cost))
    ]
    return Comparison(measures, frauds, 1_000, 500)


def page(found: Found, comparison: Comparison) -> str:
    output = io.StringIO()
    steps = Thresholds(flag=0.5, hold=0.7, block=0.9)
    Console(file=output, width=400).print(render("m-1", "m-2", found, comparison, thresholds=steps, currency="EUR"))
    return output.getvalue()


@pytest.mark.parametrize(
    ("precision", "cost", "words"),
    [
        (NONE, NONE, "No difference that chance could not explain"),
        (UP, UP, "They differ in both directions"),
        (UP, NONE, "The challenger is better in average precision;"),
        (UP, DOWN, "The challenger is better in average precision and in cost;"),
        (NONE, UP, "The challenger is worse in cost;"),
        (DOWN, UP, "The challenger is worse in average precision and in cost;"),
    ],
)
def test_a_conclusion_names_what_chance_would_rarely_show(
    precision: tuple[float, float], cost: tuple[float, float], words: str
) -> None:
    assert draw_conclusion(FOUND, compared(precision, cost)).startswith(words)


def test_without_scores_or_labels_nothing_is_concluded() -> None:
    nothing = FOUND._replace(scored=0)
    assert "`tillguard models shadow` starts it" in draw_conclusion(nothing, compared(UP, DOWN))
    assert "history" not in draw_conclusion(nothing, compared(UP, DOWN))
    assert "answered 7 transactions meanwhile" in draw_conclusion(nothing._replace(answered=7), compared(UP, DOWN))
    few = compared(UP, DOWN, FRAUDS_MIN - 1)
    assert "Too few labels" in draw_conclusion(FOUND, few)
    assert "not known: too few labels" in page(FOUND, few)


def test_the_page_has_both_models_the_numbers_and_what_was_left_out() -> None:
    told = page(FOUND._replace(kept_of=10), compared(UP, DOWN))
    assert "champion    m-1" in told
    assert "Compared on 2: 1 frauds, 1 genuine (1 with a label, 1 genuine because none came in time)" in told
    assert "Left out: 3 younger than the label delay." in told
    assert "One transaction in 10 was taken." in told
    (line,) = (line for line in told.splitlines() if "average precision" in line and "│" in line)
    assert [cell.strip() for cell in line.strip("│").split("│")] == [
        "average precision", "1.0000", "1.1500", "+0.1500", "+0.1000 to +0.2000", "better",
    ]  # fmt: skip
    assert "1 are not in the feature log" in page(
        FOUND._replace(pairs=pairs([0.9], [True], float("nan"))), compared(UP, DOWN)
    )
    assert "canary" not in told


@pytest.mark.parametrize(
    ("canary", "words"),
    [
        (NOBODY, "As a canary it answered 40 of these itself; no fraud among them is known yet."),
        (pairs([0.9], [False]), "no fraud among them is known yet."),
        (
            pairs([0.5, 0.49, 0.9, 0.1], [True, True, False, False]),
            "of 4 whose truth is known 2 were frauds. From flag on it caught 50.0% of them, and 50.0% of what it stopped",
        ),
        (
            pairs([0.1], [True]),
            "From flag on it caught 0.0% of them, and none of what it stopped or flagged was fraud.",
        ),
    ],
)
def test_what_a_canary_answered_itself_is_told(canary: Pairs, words: str) -> None:
    assert words in page(FOUND._replace(canary=canary, canary_answers=40), compared(UP, DOWN))


def test_a_program_gets_the_numbers_with_their_verdicts() -> None:
    told: dict[str, Any] = as_json("m-1", "m-2", FOUND, compared(UP, DOWN))
    assert told["measures"]["average_precision"]["verdict"] == "better"
    assert told["left_out"] == {"younger_than_label_delay": 3, "held_or_blocked_without_label": 0}
    assert told["enough_labels"]
