import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.config.connector_file import parse as parse_connector
from connectors.mysql.server import GRANTS
from contract.codec import Decoder, encode
from contract.dead_letters import REASONS
from contract.events import Resolution
from contract.metrics import METRICS
from contract.verdicts import Verdict
from demo.beginnings import MYSQL_RETAILER
from tillguard.docs.pages import list_hand_written, render
from tillguard.docs.setting_rows import PROCESS_VARIABLES, list_setting_rows

ROOT = Path(__file__).parents[4]
SETTINGS = list_setting_rows()
PAGES = list_hand_written(ROOT / "docs", render())
CODE = ("contract", "connectors", "scoring", "federation", "tillguard", "runtime", "trainer")
SECTIONS = ("kafka", "redis", "retention", "connectors", "scoring", "trainer", "log")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text_of(page), re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Any) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_and_metrics_that_a_page_names_exist(page: Any) -> None:
    settings = {row.name for row in SETTINGS}
    groups = {name.rpartition(".")[0] for name in settings}
    for name in re.findall(rf"`((?:{'|'.join(SECTIONS)})\.[a-z_]+(?:\.[a-z_]+)*)`", text_of(page)):
        assert name in settings | groups, name
    named = set(re.findall(r"tillguard_(?:connector|scoring|trainer)_[a-z_]+", text_of(page)))
    assert named <= {metric.name for metric in METRICS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_variables_that_a_page_names_are_settings(page: Any) -> None:
    known = {row.variable for row in SETTINGS} | set(PROCESS_VARIABLES)
    named = {name.rstrip("_") for name in re.findall(r"TILLGUARD_[A-Z_]+", text_of(page))}
    assert named <= known, named - known


def test_variables_that_the_code_reads_are_on_the_settings_page() -> None:
    read: set[str] = set()
    for folder in ("tillguard", "connectors", "scoring", "trainer"):
        for file in (ROOT / folder).rglob("*.py"):
            read |= set(re.findall(r"environ(?:\.get\(|\[)\s*\"(TILLGUARD_[A-Z_]+)\"", text_of(file)))
    assert read <= set(PROCESS_VARIABLES), read - set(PROCESS_VARIABLES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_that_a_page_names_exist(page: Any) -> None:
    makefile = ROOT / "Makefile"
    targets = set(re.findall(r"^([a-z][a-z-]*):", text_of(makefile), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text_of(page))) <= targets
    assert {
        line for block in blocks(page, "sh") for line in re.findall(r"^make ([a-z-]+)", block, re.MULTILINE)
    } <= targets


def test_files_and_names_that_the_recipes_of_contributing_name_exist() -> None:
    text = text_of(ROOT / "CONTRIBUTING.md")
    files = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", text)) - {"connectors/postgres/"}
    assert len(files) > 30
    made = {file for file in files if file.startswith("build/")}  # not there before `make`
    assert {file for file in files - made if not (ROOT / file).exists()} == set()
    code = "".join(text_of(file) for folder in CODE for file in (ROOT / folder).rglob("*.py"))
    names = {name for name in re.findall(r"`(\w+)`", text) if name != name.lower() or "_" in name} - {"Struct"}
    assert len(names) > 15
    assert {name for name in names if not re.search(rf"^ *(?:class |def )?{name}\b", code, re.MULTILINE)} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_that_a_page_shows_is_code(page: Any) -> None:
    for block in blocks(page, "python"):
        ast.parse(block)
    for block in blocks(page, "yaml"):
        yaml.safe_load(block)
    for block in blocks(page, "json"):
        json.loads(block)


def test_the_pages_show_code_of_every_language_that_is_tried() -> None:
    assert {language for language in ("sh", "python", "yaml", "json") if any(blocks(page, language) for page in PAGES)} == {
        "sh", "python", "yaml", "json",
    }  # fmt: skip


@pytest.mark.parametrize("retailer", ["meadow", "harbour"])
def test_the_worked_examples_are_the_files_that_are_deployed(retailer: Any) -> None:
    file = ROOT / "deploy" / "retailers" / retailer / "connectors" / "orders.yaml"
    assert f"```yaml\n{text_of(file)}```" in text_of(ROOT / "docs" / "connectors.md")


def test_a_label_in_the_own_row_is_written_as_the_guide_shows() -> None:
    guide = ROOT / "docs" / "connectors.md"
    shown = next(block for block in blocks(guide, "yaml") if block.startswith("labels:"))
    example = yaml.safe_load(text_of(ROOT / "deploy" / "retailers" / "meadow" / "connectors" / "orders.yaml"))
    config = parse_connector(yaml.safe_dump(example | yaml.safe_load(shown)), "guide")
    assert config.labels[0].column == "is_fraud"


def test_the_grants_of_the_guide_and_the_image_are_the_ones_that_the_connector_asks_for() -> None:
    wanted = GRANTS.format(database="shop", user="'tillguard'@'%'").split("; ")
    for page in ("docs/connectors.md", "deploy/mysql/init.sh"):
        for grant in wanted:
            assert grant in text_of(ROOT / page), (page, grant)


def test_reasons_that_the_connectors_guide_explains_exist() -> None:
    named = set(
        re.findall(
            r"^\| `([a-z_]+)` \|", text_of(ROOT / "docs" / "connectors.md").rpartition("## Bad rows")[2], re.MULTILINE
        )
    )
    assert named
    assert named <= set(REASONS)


def test_the_verdict_and_the_resolution_that_the_checkout_guide_shows_are_such() -> None:
    verdict, resolution = blocks(ROOT / "docs" / "checkout.md", "json")
    assert set(json.loads(verdict)) == set(Verdict.__struct_fields__)
    assert Decoder(Verdict).decode(verdict.encode()).decision == "hold"
    assert Decoder(Resolution).decode(resolution.encode()).outcome == "step_up_passed"


def test_every_field_of_a_verdict_is_always_present_as_the_checkout_guide_says() -> None:
    for golden in (ROOT / "tests" / "golden" / "v1").glob("verdict-*.json"):
        verdict = Decoder(Verdict).decode(golden.read_bytes())
        assert set(json.loads(encode(verdict))) == set(Verdict.__struct_fields__)


def test_every_decision_of_the_records_is_listed() -> None:
    records = {file.name for file in (ROOT / "docs" / "adr").glob("0*.md")}
    index = text_of(ROOT / "docs" / "adr" / "README.md")
    assert records
    assert all(f"]({name})" in index for name in records)


def test_the_connector_file_that_the_readme_runs_is_the_one_that_the_demo_leaves() -> None:
    # the shop itself connects to its database when it is made, so its name is read off the code
    found = re.search(r'self\.connector = f"\{retailer\}-(\w+)"', text_of(ROOT / "demo" / "shops" / "mysql_shop.py"))
    assert found is not None
    file = f"{MYSQL_RETAILER}-{found[1]}.yaml"
    assert f".tillguard/retailers/{MYSQL_RETAILER}/connectors/{file}" in text_of(ROOT / "README.md")
