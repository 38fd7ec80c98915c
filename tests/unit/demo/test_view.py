import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from demo import view
from demo.tally import Entry, Tally
from simulator.sales import Truth

NOW = datetime(2026, 3, 14, tzinfo=UTC)
FIGURES = [
    view.Figures("alder", 500, 400, 398, (350, 20, 8, 15), 5, 4.5, 12.25),
    view.Figures("birch", 500, 400, 100, (90, 2, 3, 4), 1, None, None),
]


def shown(what: object, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_live_table_shows_every_figure_of_every_retailer() -> None:
    text = shown(view.render_table(FIGURES, 187.4))
    assert "498 of 1,000 answered" in text
    assert "187/s" in text
    assert text.split("alder")[1].split("birch")[0].split() == [
        "400", "398", "350", "20", "8", "15", "5", "4.5", "12.2",
    ]  # fmt: skip


def test_the_live_table_of_a_long_and_slow_run_fits_a_narrow_terminal_without_breaking_a_line() -> None:
    busy = view.Figures("alder", 500_000, 400_000, 398_000, (380_000, 9_999, 9_999, 29_999), 999, 45.1, 9_999.9)
    (line,) = [line for line in shown(view.render_table([busy], 187.4)).splitlines() if "alder" in line]
    assert line.split()[1:] == ["400,000", "398,000", "380,000", "9,999", "9,999", "29,999", "999", "45.1", "9,999.9"]


def test_the_live_line_sums_over_retailers_and_shows_the_slower_one() -> None:
    assert view.render_line(FIGURES, 187.4) == (
        "498 of 1,000 answered, 187/s, allow 440, flag 22, hold 11, block 19, dead letters 6, p99 12.2 ms"
    )


def test_the_rate_looks_at_the_last_seconds_only() -> None:
    rate = view.Rate(span_s=3.0)
    assert rate.compute(0, 10.0) == 0.0
    assert rate.compute(100, 11.0) == 100.0
    assert rate.compute(300, 12.0) == 150.0
    assert rate.compute(300, 14.5) == 0.0


def test_a_step_is_timed_and_told_with_its_last_detail() -> None:
    console = Console(file=io.StringIO(), width=120)
    screen = view.Screen(console)
    with screen.show_step("do a thing"):
        screen.show_detail("half way")
        screen.show_detail("all of it")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "do a thing (all of it)" in text
    assert screen.durations_s["do a thing"] >= 0


def test_a_step_that_fails_is_not_told_as_done() -> None:
    console = Console(file=io.StringIO(), width=120)
    screen = view.Screen(console)
    with pytest.raises(RuntimeError), screen.show_step("do a thing"):
        raise RuntimeError
    assert "✓" not in console.file.getvalue()  # type: ignore[attr-defined]
    assert screen.durations_s == {}


def test_figures_count_what_was_given_sent_and_answered() -> None:
    tally = Tally("alder")
    tally.expect("a", Entry("live", Truth(False, None, NOW), 1))
    tally.expect("old", Entry("history", Truth(False, None, NOW), 1))
    tally.note_committed("a", 1.0)
    assert view.compute_figures(tally) == view.Figures("alder", 1, 1, 0, (0, 0, 0, 0), 0, None, None)
    assert view.describe_unanswered([tally], "history") == "0 of 1 answered"
