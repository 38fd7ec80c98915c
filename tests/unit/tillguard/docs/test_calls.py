from pathlib import Path
from typing import Any

import pytest

from tillguard.docs.calls import find_calls, find_page_faults
from tillguard.docs.pages import list_hand_written, render

ROOT = Path(__file__).parents[4]
BLOCK = "```sh\n{}\n```\n"


@pytest.mark.parametrize("file", list_hand_written(ROOT / "docs", render()), ids=lambda file: file.name)
def test_every_command_that_a_page_shows_exists(file: Path) -> None:
    assert find_page_faults(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("tillguard docs --check", ("docs", "--check")),
        ("$ tillguard docs", ("docs",)),
        ("TILLGUARD_STATE=/tmp/x tillguard docs", ("docs",)),
        ("tillguard docs | head -3", ("docs",)),
        ("tillguard docs  # writes the pages", ("docs",)),
        ("tillguard docs \\\n  --check", ("docs", "--check")),
        ("tillguard docs --folder 'a b'", ("docs", "--folder", "a b")),
    ],
)
def test_a_call_in_a_block_is_read_as_the_shell_reads_it(line: Any, words: Any) -> None:
    assert [call.words for call in find_calls(BLOCK.format(line))] == [words]


def test_calls_in_the_running_text_are_found_and_other_words_are_not() -> None:
    page = "Run `tillguard docs`, or `make docs`; tillguard is the name. `tillguard.cli` is a module."
    assert [call.text for call in find_calls(page)] == ["tillguard docs"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("tillguard dosc", "tillguard has no command dosc"),
        ("tillguard docs --chek", "tillguard docs has no option --chek"),
        ("tillguard docs --folder --chek", None),
        ("tillguard docs --folder=x", None),
        ("tillguard COMMAND --help", None),
        ("tillguard docs --help", None),
        ("tillguard --version", None),
        ("tillguard ", "tillguard needs a command"),
    ],
)
def test_a_call_that_would_not_run_is_named_with_its_fault(line: Any, fault: Any) -> None:
    assert find_page_faults(BLOCK.format(line)) == ([] if fault is None else [f"`{line}`: {fault}"])


def test_the_running_text_may_name_a_group_or_leave_arguments_out() -> None:
    assert find_page_faults("See `tillguard --version` and `tillguard`.") == []
    assert find_page_faults("See `tillguard dosc`.") == ["`tillguard dosc`: tillguard has no command dosc"]


def test_generated_pages_are_not_among_the_hand_written(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("README.md", "SECURITY.md", "docs/settings.md", "docs/guide.md"):
        (tmp_path / name).write_text("text")
    assert list_hand_written(tmp_path / "docs", {"settings.md": ""}) == [
        tmp_path / "README.md",
        tmp_path / "SECURITY.md",
        tmp_path / "docs" / "guide.md",
    ]
