"""The commands for people who write rules."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from contract.errors import ConfigurationError
from scoring.rules.ruleset import load_default_rules, load_rules
from tillguard.cli import app

RUNNER = CliRunner()


def test_a_good_file_is_shown_as_it_will_act(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("rules: [{id: big, text: big, when: amount > 900, decision: hold}]")
    found = RUNNER.invoke(app, ["rules", "check", str(file)])
    assert found.exit_code == 0
    assert load_rules(file.read_text(), where="x").version in found.stdout
    assert all(word in found.stdout for word in ("big", "hold", "amount > 900"))


@pytest.mark.parametrize("content", [b"rules: [{id: big, text: big, when: amunt > 1, decision: hold}]", b"\xff", None])
def test_a_bad_or_absent_file_is_a_wrong_configuration_that_names_it(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "rules.yaml"
    if content is not None:
        file.write_bytes(content)
    found = RUNNER.invoke(app, ["rules", "check", str(file)])
    assert isinstance(found.exception, ConfigurationError)
    assert str(file) in found.exception.faults[0]


def test_the_shipped_rules_can_be_printed_and_loaded_again(tmp_path: Path) -> None:
    printed = RUNNER.invoke(app, ["rules", "default"]).stdout
    assert load_rules(printed, where="printed").version == load_default_rules().version


def test_names_can_be_searched() -> None:
    found = RUNNER.invoke(app, ["rules", "names", "amount_ratio"]).stdout.splitlines()
    assert [line.split()[0] for line in found] == [
        f"{entity}_amount_ratio" for entity in ("customer", "card", "device", "terminal")
    ]
    everything = RUNNER.invoke(app, ["rules", "names"]).stdout
    assert all(word in everything for word in ("channel", "hour", "score", "card_count_10m"))
