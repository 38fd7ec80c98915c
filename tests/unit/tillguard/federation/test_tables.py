"""What the federation's commands show of rounds."""

import io

from rich.console import Console

from federation.audit.history import RoundLine, Standing
from tillguard.federation.tables import describe_lowest_reputation, describe_standing, tabulate_rounds


def shown(lines: list[RoundLine]) -> list[list[str]]:
    """Rows of all tables, without what draws them."""
    text = io.StringIO()
    console = Console(file=text, width=200)
    for table in tabulate_rounds(lines):
        console.print(table)
    rows = [line.replace("┃", "│").strip().split("│")[1:-1] for line in text.getvalue().splitlines()]
    return [[cell.strip() for cell in row] for row in rows if len(row) > 1]


def line(number: int, cohort: str, change: float | None) -> RoundLine:
    names = tuple(cohort.split())
    return RoundLine(
        number,
        1,
        f"model {number}",
        len(names),
        1_000,
        3_500,
        {"ap": 0.5},
        cohort=names,
        change=change,
        bytes_up=12_345,
    )


def test_rounds_show_their_cohort_and_the_change_and_below_what_is_known_of_each_participant() -> None:
    rows = shown([line(1, "alma berta", None), line(2, "alma carl", 0.25), line(3, "berta carl", -0.125)])
    assert rows[2] == ["2", "training", "1", "model 2", "2", "alma, carl", "+0.2500", "2.5", "12,345", "ap 0.5"]
    assert rows[-3:] == [
        ["alma", "2", "+0.2500", "-0.1250"],
        ["berta", "2", "-0.1250", "+0.2500"],
        ["carl", "2", "+0.0625", ""],
    ]


def test_without_a_change_there_is_one_table_and_a_large_cohort_is_cut() -> None:
    rows = shown([line(1, "a b c d e f g h i j", None)])
    assert len(rows) == 2
    assert rows[1][5] == "a, b, c, d, e, f, g, h and 2 more"


def test_of_a_participant_only_what_is_known_is_said_and_the_lowest_reputations_come_first() -> None:
    assert describe_standing(None) == ""
    assert describe_standing(Standing(reputation=0.5)) == "reputation 0.50"
    assert describe_standing(Standing(contribution=-0.01, reputation=0.8)) == "reputation 0.80, contribution -0.0100"
    known = {name: Standing(reputation=value) for name, value in zip("abcdefg", [7, 6, 5, 4, 3, 2, 1], strict=True)}
    known["x"] = Standing(contribution=1.0)
    assert describe_lowest_reputation(known, known) == "g 1.00, f 2.00, e 3.00, d 4.00, c 5.00"
    assert describe_lowest_reputation(known, ["a", "b", "f", "x"]) == "f 2.00, b 6.00, a 7.00", "the others have left"
