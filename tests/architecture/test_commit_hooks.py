"""The hooks before a commit check exactly what `make lint` checks."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def hooks() -> list[dict[str, Any]]:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    return list(config["repos"][0]["hooks"])


def test_the_hooks_run_the_commands_of_make_lint_in_their_order() -> None:
    shown = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "lint"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert [hook["entry"] for hook in hooks()] == shown.stdout.splitlines()


def test_a_hook_looks_at_the_whole_tree_whatever_files_a_commit_names() -> None:
    for hook in hooks():
        assert (hook["language"], hook["pass_filenames"], hook["always_run"]) == ("system", False, True), hook["id"]
