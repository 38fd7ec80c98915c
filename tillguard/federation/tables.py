"""What `tillguard federation` shows of rounds and participants as tables. Pure."""

from collections.abc import Collection, Mapping, Sequence

from rich.table import Table

from federation.audit.history import RoundLine, Standing, group_by_cohort
from federation.formatting import format_change, format_list
from federation.messages.cross_site import Sites

NAMED_MAX = 8
"""Of a cohort; the ledger has all."""
LOWEST = 5
"""Participants of the lowest reputation, in the status."""


def tabulate_rounds(lines: Sequence[RoundLine]) -> list[Table]:
    """Every round; below it, where changes are known, how the model changed with each participant and without."""
    table = Table(
        "Round", "Purpose", "Attempts", "Outcome", "Participants", "Cohort", "Change", "Seconds", "Bytes", "Figures"
    )
    for line in lines:
        seconds = f"{(line.ended_ms - line.began_ms) / 1000:.1f}" if line.ended_ms else ""
        figures = ", ".join(f"{name} {value:.4g}" for name, value in sorted(line.metrics.items()))
        table.add_row(
            str(line.round), line.purpose, str(line.attempts), line.outcome, str(line.participants),
            format_list(line.cohort, NAMED_MAX), format_change(line.change), seconds, f"{line.bytes_up:,}", figures,
        )  # fmt: skip
    if all(line.change is None for line in lines):
        return [table]
    cohorts = Table("Participant", "Trainings with it", "Mean change in these", "Mean change in the others")
    for one in group_by_cohort(lines):
        cohorts.add_row(one.participant, str(one.trainings), format_change(one.with_it), format_change(one.without_it))
    return [table, cohorts]


def tabulate_sites(sites: Sites) -> Table:
    """Average precision: a row for each one's model, a column, by the row's number, for each one's newest examples.

    Empty: not told, or nothing to measure there. As narrow as it can be, since there may be 24.
    """
    numbered = {name: str(number) for number, name in enumerate(sites.shown, start=1)}
    title = f"Average precision on the newest examples of (model {sites.model_version})"
    table = Table("", "Model of", *numbered.values(), title=title, padding=(0, 0, 0, 1), pad_edge=False)
    for name, row in sites.to_matrix().items():
        table.add_row(numbered[name], name, *(f"{row[other]:.3f}" if other in row else "" for other in numbered))
    return table


def describe_standing(known: Standing | None) -> str:
    """What is known of one participant, in words; empty where nothing is."""
    said = known or Standing()
    parts = {
        "reputation": "" if said.reputation is None else f"{said.reputation:.2f}",
        "contribution": format_change(said.contribution),
    }
    return ", ".join(f"{what} {value}" for what, value in parts.items() if value)


def describe_lowest_reputation(known: Mapping[str, Standing], among: Collection[str]) -> str:
    """Whose reputation is lowest, the worst first, of those who take part: the ledger knows those who have left, too."""
    found = sorted(
        (one.reputation, name) for name, one in known.items() if name in among and one.reputation is not None
    )
    return ", ".join(f"{name} {reputation:.2f}" for reputation, name in found[:LOWEST])
