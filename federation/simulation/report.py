"""A simulation's results as tables and as a risk report in words. Pure."""

import csv
import io
from collections.abc import Sequence
from statistics import fmean, median

from federation.coordinator.collection import CLIP_RATE
from federation.formatting import format_change, format_list
from federation.messages.cross_site import describe_matrix
from federation.simulation.simulation import FIGURES, ParticipantFacts, Results, RoundFacts

LISTED_MAX = 50
"""Participants in the report's table; the CSV has all."""
NAMED_MAX = 5
REPUTATION_LOW = 0.5
"""Of the median reputation: contributions are measured with noise, so only who stands out is named."""
UNEQUAL = 3.0
"""Fraud shares that differ by more than so much between participants are called a risk."""
CLIPPED_OFTEN = 0.5
"""Share of updates cut, mean over rounds: the norm is then what decides how far the model moves."""
GAP = 0.02
"""Average precision below central training that is worth a word."""


def render_rounds_csv(results: Results) -> str:
    """One line per round."""
    head = ["round", "outcome", "attempts", "participants", "virtual_ms", "cpu_s", "bytes_up", "bytes_down", *FIGURES]
    head += ["change", "cohort"]
    rows = [
        [
            one.round, one.outcome, one.attempts, one.participants, one.virtual_ms, f"{one.cpu_s:.3f}", one.bytes_up,
            one.bytes_down, *(f"{one.figures[name]:.6f}" if name in one.figures else "" for name in FIGURES),
            "" if one.change is None else f"{one.change:.6f}", " ".join(one.cohort),
        ]
        for one in results.rounds
    ]  # fmt: skip
    return _csv(head, rows)


def render_participants_csv(results: Results) -> str:
    """One line per participant."""
    head = [
        "participant",
        "examples",
        "frauds",
        "fraud_share",
        "adopted",
        "bytes_up",
        "reputation",
        *(f"local_{name}" for name in FIGURES),
        *(f"federated_{name}" for name in FIGURES),
    ]
    rows = [
        [
            one.name, one.examples, one.frauds, f"{one.fraud_share:.6f}", one.adopted, one.bytes_up,
            "" if one.reputation is None else f"{one.reputation:.3f}",
            *(f"{one.local[name]:.6f}" if name in one.local else "" for name in FIGURES),
            *(f"{one.federated[name]:.6f}" if name in one.federated else "" for name in FIGURES),
        ]
        for one in results.participants
    ]  # fmt: skip
    return _csv(head, rows)


def render_cross_site_csv(results: Results) -> str:
    """Average precision: a line for each one's own model, a column for each one's newest examples."""
    names = list(results.cross_site)
    rows = [
        [name, *(f"{row[other]:.6f}" if other in row else "" for other in names)]
        for name, row in results.cross_site.items()
    ]
    return _csv(["model of", *names], rows)


def render_report(results: Results) -> str:
    """Summary, rounds, participants, final figures, weak spots and recommendations, in Markdown."""
    done = [one for one in results.rounds if one.outcome.startswith("model ")]
    final = done[-1].figures if done else {}
    weak = find_weak_spots(results)
    parts = [
        f"# Risk report: {results.title}",
        "## Summary",
        _summary(results, done, final),
        "## Rounds",
        _table(
            ["Round", "Outcome", "Participants", "Attempts", "AP", "Change", "AUC", "Clipped", "Bytes up", "ms"],
            [
                [
                    str(one.round), one.outcome, str(one.participants), str(one.attempts), _figure(one.figures, "ap"),
                    format_change(one.change), _figure(one.figures, "auc"), f"{one.figures[CLIP_RATE]:.0%}" if CLIP_RATE in one.figures else "",
                    f"{one.bytes_up:,}", f"{one.virtual_ms:,}",
                ]
                for one in results.rounds
            ],
        ),
        "## Participants",
        _table(
            ["Participant", "Examples", "Fraud share", "AP alone", "Federation on its data", "Reputation", "Took"],
            [
                [
                    one.name, f"{one.examples:,}", f"{one.fraud_share:.2%}", _figure(one.local, "ap"),
                    _figure(one.federated, "ap"), "" if one.reputation is None else f"{one.reputation:.2f}",
                    one.adopted or "nothing",
                ]
                for one in results.participants[:LISTED_MAX]
            ],
        ),
        _left_out(results),
        "## By cohort",
        _cohorts(results),
        "## Across sites",
        _across(results),
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
        "\n".join(f"- {advice}" for _, advice in weak) or "Continue as it is.",
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _left_out(results: Results) -> str:
    more = len(results.participants) - LISTED_MAX
    return f"{more} more stand in participants.csv." if more > 0 else ""


def _cohorts(results: Results) -> str:
    """How the model changed in the trainings with each participant: of a masked sum nothing more can be known."""
    known = [one for one in results.by_cohort if one.with_it is not None]
    if not known:
        return "No two trainings ended with a model, so no change is known."
    rows = [
        [one.participant, str(one.trainings), format_change(one.with_it), format_change(one.without_it)]
        for one in known[:LISTED_MAX]
    ]
    return _table(["Participant", "Trainings with it", "Mean change of AP in these", "In the others"], rows)


def _across(results: Results) -> str:
    """What the matrix of everyone's model on everyone's examples says, in words; the numbers are in cross_site.csv."""
    said = describe_matrix(results.cross_site, "Models trained alone")
    if not said:
        return "There are too few participants with frauds among their newest examples to compare sites."
    return f"{said} All pairs: cross_site.csv, cross_site.png."


def find_weak_spots(results: Results) -> list[tuple[str, str]]:
    """What a risk officer should know, each with what to do about it."""
    found = [*_weak_rounds(results), *_weak_participants(results)]
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


def _weak_rounds(results: Results) -> list[tuple[str, str]]:
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
    clipped = [one.figures[CLIP_RATE] for one in done if CLIP_RATE in one.figures]
    if clipped and fmean(clipped) > CLIPPED_OFTEN:
        found.append(
            (
                f"{fmean(clipped):.0%} of the updates were cut at the clipping norm.",
                "Raise rounds.clip_norm, or train fewer epochs at a lower learning rate.",
            )
        )
    return found


def _weak_participants(results: Results) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
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
            (
                f"{format_list(without, NAMED_MAX)}: no fraud at all to learn from.",
                "Expect them to gain most and to give least.",
            )
        )
    standing = {one.name: one.reputation for one in results.participants if one.reputation is not None}
    usual = median(standing.values()) if standing else 0.0
    distrusted = [name for name, reputation in standing.items() if reputation < REPUTATION_LOW * usual]
    if distrusted:
        found.append(
            (
                f"{format_list(distrusted, NAMED_MAX)}: a reputation below half of the usual {usual:.2f}.",
                "Ask them about their labels, select by reputation, or revoke them.",
            )
        )
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
