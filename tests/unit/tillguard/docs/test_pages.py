import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from typer.testing import CliRunner

from contract.features import get_feature_names
from contract.metrics import METRICS
from contract.settings import Settings
from contract.topics import TOPICS
from contract.verdicts import Verdict
from tillguard.cli import app
from tillguard.docs.pages import find_outdated, render, write
from tillguard.docs.schema_files import read_field_texts
from tillguard.docs.setting_rows import list_setting_rows

ROOT = Path(__file__).parents[4]
PAGES = render()


def test_the_pages_in_the_repository_are_the_ones_that_the_code_says() -> None:
    assert find_outdated(ROOT / "docs", PAGES) == [], "run `tillguard docs`"


def test_rendering_twice_gives_the_same_pages() -> None:
    assert render() == PAGES


def test_writing_and_checking_agree_and_a_second_writing_touches_nothing(tmp_path: Path) -> None:
    assert sorted(write(tmp_path, PAGES)) == sorted(PAGES)
    assert find_outdated(tmp_path, PAGES) == []
    assert write(tmp_path, PAGES) == []


def test_a_changed_a_missing_and_a_left_over_page_are_each_named(tmp_path: Path) -> None:
    write(tmp_path, PAGES)
    (tmp_path / "settings.md").write_text("edited by hand")
    (tmp_path / "topics.md").unlink()
    (tmp_path / "schemas" / "Gone.v1.json").write_text("{}")
    assert find_outdated(tmp_path, PAGES) == ["schemas/Gone.v1.json", "settings.md", "topics.md"]
    write(tmp_path, PAGES)
    assert find_outdated(tmp_path, PAGES) == []
    assert not (tmp_path / "schemas" / "Gone.v1.json").exists()


def test_the_command_checks_without_changing_and_exits_with_1_on_drift(tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["docs", "--check", "--folder", str(tmp_path)])
    assert run.exit_code == 1
    assert "settings.md differs from the code" in run.output
    assert list(tmp_path.iterdir()) == []
    assert CliRunner().invoke(app, ["docs", "--folder", str(tmp_path)]).exit_code == 0
    assert CliRunner().invoke(app, ["docs", "--check", "--folder", str(tmp_path)]).exit_code == 0


def test_every_setting_has_a_row_a_meaning_and_a_variable_that_really_overrides_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = {row.name: row for row in list_setting_rows()}
    assert all(row.text for row in rows.values())
    for variable, value in {"TILLGUARD_SCORING__HOLD__ON_EXPIRY": "flag", "TILLGUARD_LOG__LEVEL": "DEBUG"}.items():
        assert variable in {row.variable for row in rows.values()}
        monkeypatch.setenv(variable, value)
    settings = Settings(retailer="acme")
    assert (settings.scoring.hold.on_expiry, settings.log.level) == ("flag", "DEBUG")


def test_a_section_s_own_defaults_and_meaning_are_those_of_its_rows() -> None:
    rows = {row.name: row for row in list_setting_rows()}
    keys, shares = rows["federation.rounds.keys.max_s"], rows["federation.rounds.shares.max_s"]
    assert (keys.default, shares.default) == ("`3600.0`", "`300.0`")
    assert "updates" in keys.text
    assert "mode masked" in shares.text


def test_no_default_on_the_page_is_a_redacted_or_a_machine_s_own_value() -> None:
    assert "***" not in PAGES["settings.md"]
    assert str(Path.home()) not in "".join(PAGES.values())
    assert str(ROOT) not in "".join(PAGES.values())


@pytest.mark.parametrize(
    ("page", "items"),
    [
        ("topics.md", [f"`<retailer>.{topic.kind}.v1`" for topic in TOPICS]),
        ("metrics.md", [f"`{metric.name}`" for metric in METRICS]),
        ("features.md", [f"`{name}`" for name in get_feature_names()]),
    ],
)
def test_a_page_lists_every_item_of_its_table(page: Any, items: Any) -> None:
    assert [item for item in items if item not in PAGES[page]] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.endswith(".md")])
def test_every_row_of_a_table_has_as_many_cells_as_its_head(page: Any) -> None:
    width = 0
    for line in PAGES[page].splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        cells = line.replace("\\|", "").count("|")
        width = width or cells
        assert cells == width, line


def test_a_schema_says_of_a_field_what_the_code_says() -> None:
    schema = json.loads(PAGES["schemas/Verdict.v1.json"])
    assert schema["properties"]["score"]["description"] == read_field_texts(Verdict)["score"]
    assert "null only where `degraded` is true" in schema["properties"]["score"]["description"]
    assert "rule:<id>" in schema["$defs"]["Reason"]["properties"]["code"]["description"]


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("schemas/")])
def test_a_written_schema_is_still_a_schema(page: Any) -> None:
    jsonschema_rs.meta.validate(json.loads(PAGES[page]))


def test_the_written_asyncapi_document_is_yaml_with_the_channels_of_every_topic() -> None:
    document = yaml.safe_load(PAGES["asyncapi.yaml"])
    assert set(document["channels"]) == {topic.kind for topic in TOPICS}
    assert document["components"]["schemas"]["Verdict"]["properties"]["late"]["description"]
