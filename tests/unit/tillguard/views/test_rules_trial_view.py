"""What a dry run says on the terminal."""

import io

import numpy as np
from rich.console import Console

from contract.features import get_feature_names
from scoring.decision.dry_run import Past, Slice, run_dry
from scoring.rules.ruleset import load_rules
from tillguard.views.rules_trial_view import build_tables, describe_limits

RULES = load_rules(
    "rules:\n- {id: large, text: large, when: amount > 100, decision: hold}\n"
    "- {id: cards, text: cards, when: \"category == 'gift card'\", decision: flag}\n",
    where="test",
)


def slice_of(amount_minor: int) -> Slice:
    return Slice(
        np.full((1, len(get_feature_names())), np.nan, dtype=np.float32),
        np.array([0.0]),
        np.array([amount_minor]),
        np.array([0]),
        np.array([0], dtype=np.int8),
        [("m", RULES.version)],
        np.array([0], dtype=np.int8),
    )


def show(*slices: Slice) -> tuple[str, list[str]]:
    found = run_dry(RULES, slices, Past(lambda _: None, lambda _: None), currency="EUR")
    console = Console(file=io.StringIO(), width=120)
    for table in build_tables(found, "EUR"):
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue(), describe_limits(found)


def test_a_rule_is_told_with_what_it_caught_and_one_that_cannot_be_tried_says_why() -> None:
    text, _ = show(slice_of(25_000))
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert rows["large"] == ["large", "hold", "1", "1", "250", "0", "0", "0"]
    assert "not tried: asks for category" in text


def test_what_the_tables_do_not_cover_is_said() -> None:
    _, said = show(slice_of(100))
    assert said == [
        "No decision would have been another.",
        "Transactions whose model or rules are not known here any more: 1.",
    ]
