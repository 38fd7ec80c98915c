import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import yaml
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from typer.testing import CliRunner

from contract.errors import ConfigurationError
from federation.simulation.report import (
    find_weak_spots,
    render_cross_site_csv,
    render_participants_csv,
    render_report,
    render_rounds_csv,
)
from federation.simulation.simulation import ParticipantFacts, Results, RoundFacts
from tillguard.cli import app
from tillguard.federation.plots import draw_figures, render_plots
from tillguard.federation.simulation import read_description, run_description

DESCRIPTION = """
title: four shops
participants: 4
rounds: 2
hidden: [4]
data: {examples: 1200, features: 5, fraud_share: 0.1, skew: 1.0}
faults: {delay_ms_max: 200, duplication: 0.1, coordinator_crash: 1.0}
federation: {keys: {min_s: 1, max_s: 60}, training: {epochs: 1, learning_rate: 0.01}}
"""


HEADINGS = [
    "# Risk report: four shops", "## Summary", "## Rounds", "## Participants", "## By cohort", "## Across sites",
    "## Final figures", "## Weak spots", "## Recommendations",
]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "simulation.yaml"
    made.write_text(DESCRIPTION)
    return made


def test_the_command_writes_results_tables_and_a_report(file: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["federation", "simulate", "--config", str(file), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [one["outcome"] for one in results["rounds"]] == ["model 1", "model 2"]
    assert results["crashes"] > 0
    assert results["ledger_holds"]
    assert {"auc", "ap", "accuracy", "loss"} <= set(results["rounds"][-1]["figures"])
    assert all(one["bytes_up"] > 0 for one in results["rounds"])
    assert len((tmp_path / "out" / "rounds.csv").read_text().splitlines()) == 3
    assert len((tmp_path / "out" / "participants.csv").read_text().splitlines()) == 5
    text = (tmp_path / "out" / "report.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("#")] == HEADINGS
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| shop-")]
    assert [row[0] for row in rows] == [f"shop-{number}" for number in range(4)] * 2, "participants, and by cohort"
    changed = results["rounds"][1]["figures"]["ap"] - results["rounds"][0]["figures"]["ap"]
    assert f"| 2 | model 2 | 4 | 1 | {results['rounds'][1]['figures']['ap']:.4f} | {changed:+.4f} |" in text
    assert rows[4] == ["shop-0", "2", f"{changed:+.4f}"], "it took part in both, and nothing is known without it"
    matrix = (tmp_path / "out" / "cross_site.csv").read_text().splitlines()
    assert [line.count(",") for line in matrix] == [4] * 5
    for plot in ("rounds", "participants", "cost", "cross_site"):
        assert (tmp_path / "out" / f"{plot}.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_description_gives_the_same_rounds(file: Path) -> None:
    first, second = run_description(read_description(file)), run_description(read_description(file))
    assert [one.figures for one in first.rounds] == [one.figures for one in second.rounds]
    assert [one.bytes_up for one in first.rounds] == [one.bytes_up for one in second.rounds]
    assert [one.virtual_ms for one in first.rounds] == [one.virtual_ms for one in second.rounds]


def test_every_fault_of_a_description_is_listed(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("participants: 1\ncolour: blue\nfederation: {mode: open}\n")
    with pytest.raises(ConfigurationError) as error:
        read_description(file)
    assert len(error.value.faults) == 3


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ("{privacy: {level: sample, noise_multiplier: 1.0}}", "DP-SGD"),
        ("{mode: robust, cross_site_every: 1}", "everyone's data anyway"),
    ],
)
def test_what_a_simulation_cannot_show_is_refused_before_it_begins(tmp_path: Path, section: str, why: str) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(f"federation: {section}")
    with pytest.raises(ConfigurationError, match=why):
        read_description(file)


def test_a_description_that_is_not_there_or_no_yaml_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"does not exist; docs/federation\.md has one"):
        read_description(tmp_path / "none.yaml")
    (tmp_path / "cut.yaml").write_text("seed: 1\nparticipants: [\n")
    with pytest.raises(ConfigurationError, match=r"cut.yaml:\d: not valid YAML"):
        read_description(tmp_path / "cut.yaml")


DONE = RoundFacts(
    round=1, outcome="model 1", attempts=1, participants=3, virtual_ms=1000, cpu_s=0.5, bytes_up=10, bytes_down=20,
    figures={"ap": 0.5, "auc": 0.9},
)  # fmt: skip


def results(**changes: object) -> Results:
    shop = ParticipantFacts(name="shop-0", examples=100, frauds=10, local={"ap": 0.2})
    values = {
        "title": "t", "seed": 1, "mode": "masked", "strategy": "fedavg", "rounds": [DONE], "participants": [shop],
        "central": {"ap": 0.5}, "cross_site": {}, "dropped": {}, "crashes": 0, "ledger_holds": True, "ledger_entries": 9,
        "privacy": {"level": "client"},
    } | changes  # fmt: skip
    return Results(**values)  # type: ignore[arg-type]


def test_across_sites_means_are_told_and_the_matrix_has_a_cell_for_each_pair() -> None:
    found = results(cross_site={"a": {"a": 0.9, "b": 0.3}, "b": {"a": 0.5}})
    assert "0.900 on their owners' newest examples and of 0.400 on others' (mean over 1 and 2 pairs)" in render_report(
        found
    )
    assert render_cross_site_csv(found).splitlines() == ["model of,a,b", "a,0.900000,0.300000", "b,0.500000,"]
    assert set(render_plots(found)) == {"rounds.png", "participants.png", "cost.png", "cross_site.png"}
    assert "cross_site.png" not in render_plots(results())


def drawn_points(line: Line2D) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]


def test_every_plot_says_what_its_axes_are_and_shows_the_numbers_of_the_results() -> None:
    cross_site = {"shop-0": {"shop-0": 0.9, "shop-1": 0.3}, "shop-1": {"shop-0": 0.5}}
    shops = [
        ParticipantFacts(name=f"shop-{number}", examples=100 * (number + 1), frauds=10, local={}) for number in range(2)
    ]
    plots = draw_figures(results(cross_site=cross_site, participants=shops))
    rounds = plots["rounds.png"]
    assert [axes.get_title() for axes in rounds.axes] == ["AUC", "average precision", "accuracy at 0.5", "log loss"]
    assert {axes.get_xlabel() for axes in rounds.axes} == {"round (of training)"}
    assert [drawn_points(axes.lines[0]) for axes in rounds.axes] == [
        [(1.0, 0.9)], [(1.0, 0.5)], [], [],
    ]  # fmt: skip
    assert drawn_points(rounds.axes[1].lines[1])[0][1] == 0.5, "all data in one place"
    above, below = plots["participants.png"].axes
    assert (above.get_ylabel(), below.get_ylabel()) == ("examples", "frauds, %")
    assert [label.get_text() for label in below.get_xticklabels()] == ["shop-1", "shop-0"]
    assert [[bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)] for axes in (above, below)] == [
        [200, 100],
        [5, 10],
    ]
    sent, took = plots["cost.png"].axes
    assert (sent.get_ylabel(), took.get_ylabel()) == ("MB", "s")
    assert "round (of training" in took.get_xlabel()
    legend = sent.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "sent by all participants", "sent by the coordinator",
    ]  # fmt: skip
    assert [drawn_points(line)[0][1] for line in (*sent.lines, *took.lines)] == [10e-6, 20e-6, 1.0, 0.5]
    matrix, bar = plots["cross_site.png"].axes
    assert matrix.get_xlabel().startswith("newest examples of")
    assert (matrix.get_ylabel(), bar.get_ylabel()) == ("model trained alone by", "average precision")
    assert np.ma.asarray(matrix.images[0].get_array()).tolist() == [[0.9, 0.3], [0.5, None]]


def test_who_stands_out_by_a_low_reputation_is_named_and_hundreds_are_not_all_listed() -> None:
    shops = [
        ParticipantFacts(name=f"shop-{number}", examples=10, frauds=1, local={}, reputation=0.3 if number == 7 else 0.9)
        for number in range(60)
    ]
    text = render_report(results(participants=shops))
    assert "- shop-7: a reputation below half of the usual 0.90." in text
    assert "10 more stand in participants.csv." in text
    assert "| shop-55 |" not in text


def test_a_simulation_with_statistics_tells_of_its_trainings(file: Path) -> None:
    file.write_text(DESCRIPTION + "normalised: true\n")
    found = run_description(read_description(file))
    assert [one.outcome for one in found.rounds] == ["model 2", "model 4"]
    assert [one.round for one in found.rounds] == [2, 4]
    assert set(found.cross_site) == {one.name for one in found.participants}


def test_without_a_weak_spot_the_report_says_so() -> None:
    assert find_weak_spots(results()) == []
    assert "Continue as it is." in render_report(results())


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"central": {"ap": 0.6}}, "below central"),
        ({"privacy": {}}, "Nothing bounds"),
        ({"rounds": [msgspec.structs.replace(DONE, figures={"ap": 0.5, "clip_rate": 0.75})]}, "75% of the updates"),
        ({"ledger_holds": False}, "ledger does not hold"),
        ({"participants": [ParticipantFacts(name="a", examples=10, frauds=0, local={})]}, "no fraud at all"),
    ],
)
def test_each_weak_spot_comes_with_what_to_do(changes: dict[str, object], word: str) -> None:
    found = find_weak_spots(results(**changes))
    assert len(found) == 1
    assert word in found[0][0]
    assert found[0][1].endswith(".")


def test_a_figure_that_was_not_measured_is_an_empty_cell() -> None:
    assert render_rounds_csv(results()).splitlines()[1] == "1,model 1,1,3,1000,0.500,10,20,0.900000,0.500000,,,,"
    assert render_participants_csv(results()).splitlines()[1] == "shop-0,100,10,0.100000,,0,,,0.200000,,,,,,"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"participants": 2}, "participants: 2, and federation.cohort_min asks for 3"),
        ({"federation": {"cohort_min": 5}}, "participants: 4, and federation.cohort_min asks for 5"),
        ({"federation": {"shares": {"count_min": 6}}}, "participants: 4, and federation.shares.count_min asks for 6"),
        (
            {"federation": {"mode": "robust", "strategy": {"name": "fedbuff", "buffer_size": 7}}},
            "participants: 4, and federation.strategy.buffer_size asks for 7",
        ),
        (
            {"federation": {"mode": "robust", "robust": {"rule": "krum", "byzantine_max": 1}}},
            "krum against 1 liars needs 5 updates, there are 4",
        ),
        ({"rounds": 0}, "rounds"),
        ({"hidden": [4, 0]}, "hidden.1"),
        (
            {"federation": {"mode": "robust", "cohort_max": 3, "strategy": {"name": "fedbuff"}}},
            "buffer_size must not be above cohort_max",
        ),
    ],
)
def test_a_description_of_which_no_round_could_end_well_is_refused_before_it_starts(
    file: Path, changes: dict[str, object], words: str
) -> None:
    description = yaml.safe_load(DESCRIPTION)
    file.write_text(yaml.safe_dump(description | changes))
    with pytest.raises(ConfigurationError) as refused:
        read_description(file)
    assert words in str(refused.value)


def test_a_description_of_just_enough_participants_runs(file: Path) -> None:
    exact = {"participants": 3, "rounds": 1, "federation": {"mode": "robust", "robust": {"byzantine_max": 1}}}
    file.write_text(yaml.safe_dump(yaml.safe_load(DESCRIPTION) | exact))
    assert [one.outcome for one in run_description(read_description(file)).rounds] == ["model 1"]
