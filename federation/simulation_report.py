"""A simulation's results as tables and as a risk report in words. Pure."""

import csv
import io
from collections.abc import Sequence

from federation.simulation import FIGURES, ParticipantFacts, Results, RoundFacts

UNEQUAL = 3.0
"""Fraud shares that differ by more than so much between participants are called a risk."""
GAP = 0.02
"""Average precision below central training that is worth a word."""


def rounds_csv(results: Results) -> str:
    """One line per round."""
    head = ["round", "outcome", "attempts", "participants", "virtual_ms", "cpu_s", "bytes_up", "bytes_down", *FIGURES]
    rows = [
        [
            one.round, one.outcome, one.attempts, one.participants, one.virtual_ms, f"{one.cpu_s:.3f}", one.bytes_up,
            one.bytes_down, *(f"{one.figures[name]:.6f}" if name in one.figures else "" for name in FIGURES),
        ]
        for one in results.rounds
    ]  # fmt: skip
    return _csv(head, rows)


def participants_csv(results: Results) -> str:
    """One line per participant."""
    head = [
        "participant",
        "examples",
        "frauds",
        "fraud_share",
        "adopted",
        "bytes_up",
        *(f"local_{name}" for name in FIGURES),
    ]
    rows = [
        [
            one.name, one.examples, one.frauds, f"{one.fraud_share:.6f}", one.adopted, one.bytes_up,
            *(f"{one.local[name]:.6f}" if name in one.local else "" for name in FIGURES),
        ]
        for one in results.participants
    ]  # fmt: skip
    return _csv(head, rows)


def report(results: Results) -> str:
    """Summary, rounds, participants, final figures, weak spots and recommendations, in Markdown."""
    done = [one for one in results.rounds if one.outcome.startswith("model ")]
    final = done[-1].figures if done else {}
    weak = weak_spots(results)
    parts = [
        f"# Risk report: {results.title}",
        "## Summary",
        _summary(results, done, final),
        "## Rounds",
        _table(
            ["Round", "Outcome", "Participants", "Attempts", "AP", "AUC", "Bytes up", "ms"],
            [
                [
                    str(one.round), one.outcome, str(one.participants), str(one.attempts), _figure(one.figures, "ap"),
                    _figure(one.figures, "auc"), f"{one.bytes_up:,}", f"{one.virtual_ms:,}",
                ]
                for one in results.rounds
            ],
        ),
        "## Participants",
        _table(
            ["Participant", "Examples", "Fraud share", "AP alone", "Took"],
            [
                [one.name, f"{one.examples:,}", f"{one.fraud_share:.2%}", _figure(one.local, "ap"), one.adopted or "nothing"]
                for one in results.participants
            ],
        ),
        "## Final figures",
        _table(
            ["", *(name.upper() for name in FIGURES)],
            [
                ["federation", *(_figure(final, name) for name in FIGURES)],
                ["all data in one place", *(_figure(results.central, name) for name in FIGURES)],
                ["best participant alone", *(_figure(_best(results.participants), name) for name in FIGURES)],
            ],
        ),
        "## Weak spots",
        "\n".join(f"- {spot}" for spot, _ in weak) or "None was found by the rules of this report.",
        "## Recommendations",
        "\n".join(f"- {advice}" for _, advice in weak) or "Go on as it is.",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def weak_spots(results: Results) -> list[tuple[str, str]]:
    """What a risk officer should know, each with what to do about it."""
    found: list[tuple[str, str]] = []
    done = [one for one in results.rounds if one.outcome.startswith("model ")]
    failed = len(results.rounds) - len(done)
    if failed:
        found.append(
            (
                f"{failed} of {len(results.rounds)} rounds gave no model.",
                "Raise the phases' max_s, or lower cohort_min.",
            )
        )
    retried = sum(one.attempts > 1 for one in results.rounds)
    if retried:
        found.append(
            (
                f"{retried} rounds needed more than one attempt.",
                "Look at which phase ran out of time in `federation audit --show`.",
            )
        )
    if done and "ap" in results.central and "ap" in done[-1].figures:
        gap = results.central["ap"] - done[-1].figures["ap"]
        if gap > GAP:
            found.append(
                (
                    f"The federation stays {gap:.3f} of average precision below central training.",
                    "More rounds or local epochs; or fedavgm.",
                )
            )
    shares = [one.fraud_share for one in results.participants if one.frauds]
    if shares and max(shares) > UNEQUAL * min(shares):
        found.append(
            (
                f"Fraud shares differ between {min(shares):.2%} and {max(shares):.2%}.",
                "Keep prior_offset on, and weigh by frauds as well (frauds_weight).",
            )
        )
    without = [one.name for one in results.participants if not one.frauds]
    if without:
        found.append(
            (f"{', '.join(without)}: no fraud at all to learn from.", "Expect them to gain most and to give least.")
        )
    if results.privacy.get("level", "none") == "none":
        found.append(
            (
                "Nothing bounds what the published models tell of single transactions or participants.",
                "Set rounds.privacy; masking hides updates, not what their sum has learned.",
            )
        )
    if not results.ledger_holds:
        found.append(("The audit ledger does not hold.", "Stop, and find out who wrote to its topic."))
    return found


def _summary(results: Results, done: Sequence[RoundFacts], final: dict[str, float]) -> str:
    up = sum(one.bytes_up for one in results.rounds)
    return (
        f"{len(results.participants)} participants ran {len(results.rounds)} rounds in mode {results.mode} with {results.strategy} "
        f"(seed {results.seed}); {len(done)} ended with a model, whose last has an average precision of {_figure(final, 'ap')}. "
        f"Participants sent {up:,} bytes. {results.crashes} processes were killed and started again, "
        f"{sum(results.dropped.values())} messages did not count. The audit ledger has {results.ledger_entries} entries and "
        + ("every link holds." if results.ledger_holds else "IS BROKEN.")
    )


def _best(participants: Sequence[ParticipantFacts]) -> dict[str, float]:
    return max((one.local for one in participants), key=lambda local: local.get("ap", -1.0), default={})


def _figure(figures: dict[str, float], name: str) -> str:
    return f"{figures[name]:.4f}" if name in figures else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _csv(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return stream.getvalue()
