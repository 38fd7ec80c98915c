"""Champion against challenger in words and a table, and as JSON. Pure: gives what rich prints."""

from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from contract.models import SCORE_DIGITS, Thresholds
from trainer.decision.compare import FRAUDS_MIN, LOWER_IS_BETTER, PER, Comparison, Measure, Pairs
from trainer.learning.comparing import Found

NAMES = {
    "auc": "AUC",
    "average_precision": "average precision",
    "precision_flag": "precision from flag on",
    "recall_flag": "recall from flag on",
    "precision_hold": "precision from hold on",
    "recall_hold": "recall from hold on",
    "precision_block": "precision of block",
    "recall_block": "recall of block",
}
VERDICTS = {"better": "better", "worse": "worse", "open": "may be chance"}


def render(
    champion: str, challenger: str, found: Found, compared: Comparison, *, thresholds: Thresholds, currency: str
) -> RenderableType:
    """The page of `tillguard models compare`; `thresholds` are the challenger's."""
    parts: list[RenderableType] = [
        Text(f"champion    {champion}\nchallenger  {challenger}", style="bold"),
        Text(_seen(found)),
    ]
    if compared.measures:
        parts.append(_table(compared, currency))
    parts.append(Text(draw_conclusion(found, compared)))
    if found.canary_answers:
        parts.append(Text(_canary(found, thresholds)))
    return Group(*parts)


def _history(answered: int) -> str:
    """What else may be the cause, where the champion answered something."""
    if not answered:
        return ""
    return (
        f" The champion answered {answered:,} transactions meanwhile. Where they came from a replayed file or a snapshot, "
        "that is the cause: these are history and are not scored in shadow."
    )


def draw_conclusion(found: Found, compared: Comparison) -> str:
    """What a person may take from it, in a sentence or two."""
    if not found.scored:
        return (
            "The challenger has scored nothing next to this champion yet: `tillguard models shadow` starts it, and workers "
            "must be running."
        ) + _history(found.answered)
    if not compared.enough:
        return (
            f"Too few labels to tell the models apart: {compared.frauds:,} frauds and {compared.genuine:,} genuine "
            f"transactions, at least {FRAUDS_MIN} of each are needed. Wait for labels; differences above may be luck."
        )
    by_name = {measure.name: measure for measure in compared.measures}
    judged = [by_name["average_precision"], by_name[LOWER_IS_BETTER]]
    verdicts = {measure.verdict for measure in judged}
    if verdicts == {"open"}:
        return "No difference that chance could not explain, in average precision or cost. More labels narrow the interval."
    if {"better", "worse"} <= verdicts:
        return "They differ in both directions: one ranks frauds better, the other costs less at its thresholds."
    word = "better" if "better" in verdicts else "worse"
    why = " and ".join(
        "in cost" if measure.name == LOWER_IS_BETTER else "in average precision"
        for measure in judged
        if measure.verdict == word
    )
    return f"The challenger is {word} {why}; chance alone would rarely show as much (95% interval)."


def as_json(champion: str, challenger: str, found: Found, compared: Comparison) -> dict[str, Any]:
    """The same for machines."""
    return {
        "champion": champion,
        "challenger": challenger,
        "enough_labels": compared.enough,
        "conclusion": draw_conclusion(found, compared),
        "frauds": compared.frauds,
        "genuine": compared.genuine,
        "labelled": found.labelled,
        "scored": found.scored,
        "canary_answers": found.canary_answers,
        "left_out": {"younger_than_label_delay": found.unripe, "held_or_blocked_without_label": found.stopped},
        "kept_one_in": found.kept_of,
        "draws": compared.draws,
        "measures": {measure.name: {**measure._asdict(), "verdict": measure.verdict} for measure in compared.measures},
    }


def _seen(found: Found) -> str:
    pairs = found.pairs
    by_age = len(pairs) - found.labelled
    said = (
        f"The challenger scored {found.scored:,} transactions. Compared on {len(pairs):,}: {int(pairs.fraud.sum()):,} frauds, "
        f"{int((~pairs.fraud).sum()):,} genuine ({found.labelled:,} with a label, {by_age:,} genuine because none came in time)."
    )
    left_out = {"younger than the label delay": found.unripe, "held or blocked without a label": found.stopped}
    rest = [f"{count:,} {why}" for why, count in left_out.items() if count]
    said += f" Left out: {', '.join(rest)}." if rest else ""
    unpriced = int(np.isnan(pairs.amount).sum())
    said += f" {unpriced:,} are not in the feature log any more and have no cost." if unpriced else ""
    return f"{said} One transaction in {found.kept_of} was taken." if found.kept_of > 1 else said


def _table(compared: Comparison, currency: str) -> Table:
    table = Table("", "champion", "challenger", "difference", "95% interval", "the challenger is")
    for measure in compared.measures:
        name = NAMES.get(measure.name, f"cost of {PER:,} transactions in {currency}")
        digits = 2 if measure.name == LOWER_IS_BETTER else 4
        table.add_row(
            name,
            _number(measure.champion, digits),
            _number(measure.challenger, digits),
            _number(measure.difference, digits, sign="+"),
            _interval(measure, digits),
            VERDICTS[measure.verdict] if compared.enough else "not known: too few labels",
        )
    return table


def _number(value: float | None, digits: int, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign},.{digits}f}"


def _interval(measure: Measure, digits: int) -> str:
    if measure.low is None or measure.high is None:
        return "-"
    return f"{measure.low:+,.{digits}f} to {measure.high:+,.{digits}f}"


def _canary(found: Found, thresholds: Thresholds) -> str:
    canary: Pairs = found.canary
    said = f"As a canary it answered {found.canary_answers:,} of these itself"
    if not len(canary) or not canary.fraud.any():
        return f"{said}; no fraud among them is known yet."
    reached = canary.challenger.round(SCORE_DIGITS) >= thresholds.flag
    recall = float(canary.fraud[reached].sum() / canary.fraud.sum())
    precision = f"{float(canary.fraud[reached].mean()):.1%}" if reached.any() else "none"
    return (
        f"{said}; of {len(canary):,} whose truth is known {int(canary.fraud.sum()):,} were frauds. From flag on it caught "
        f"{recall:.1%} of them, and {precision} of what it stopped or flagged was fraud. The champion did not score these: "
        "compare with the champion's figures above, other customers' transactions."
    )
