import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tillguard import __version__

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "deploy" / "images" / "Dockerfile"
PARTS = ("connectors", "scoring", "trainer", "backoffice")
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()


def requirements(part: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{part}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return {re.split(r"[=\[ ;]", line)[0]: line for line in lines}


def test_the_dockerfile_passes_its_linter() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.exists():
        pytest.skip("needs hadolint (extra dev)")
    done = subprocess.run([str(hadolint), str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_everything_that_an_image_copies_is_there_and_reaches_the_builder() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for source in line.split()[:-1]
        if "${" not in source
    ]
    assert {"contract", "tillguard", "pyproject.toml"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in IGNORED or f"!{Path(source).parent}/*{Path(source).suffix}" in IGNORED, source


def test_every_package_of_the_product_is_in_the_image() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    packages = re.search(r"^include = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert packages is not None
    for package in re.findall(r'"([a-z]+)\*"', packages[1]):
        assert f"COPY {package} {package}\n" in text


def test_an_image_ends_as_a_user_that_is_not_root() -> None:
    final = DOCKERFILE.read_text(encoding="utf-8").rpartition("\nFROM ")[2]
    users = re.findall(r"^USER (\d+)", final, re.MULTILINE)
    assert users
    assert users[-1] != "0"


@pytest.mark.parametrize("part", [*PARTS, "build"])
def test_every_requirement_of_an_image_is_pinned_and_hashed(part: Any) -> None:
    lines = requirements(part)
    assert lines
    for name, line in lines.items():
        assert re.match(r"[a-zA-Z0-9._-]+(\[[a-z0-9,-]+\])?==\S+", line), name
        assert "--hash=sha256:" in line, name


@pytest.mark.parametrize("part", PARTS)
def test_no_requirement_file_names_a_registry(part: Any) -> None:
    text = (ROOT / "requirements" / f"{part}.txt").read_text(encoding="utf-8")
    assert not re.search(r"https?://|--(extra-)?index-url", text)


def test_a_scoring_worker_carries_no_training() -> None:
    heavy = {
        "tensorflow",
        "tensorflow-cpu",
        "keras",
        "tf2onnx",
        "scikit-learn",
        "pymongo",
        "pymysql",
        "jpype1",
    }
    assert heavy & set(requirements("scoring")) == set()
    assert {"onnxruntime", "faust-streaming", "confluent-kafka", "redis"} <= set(requirements("scoring"))


def test_each_part_has_what_it_needs() -> None:
    assert {"pymysql", "zstandard", "pymongo", "kafka-python"} <= set(requirements("connectors"))
    assert {"tensorflow-cpu", "tf2onnx", "alembic"} <= set(requirements("trainer"))
    assert "setuptools" in requirements("build")


def test_the_shell_scripts_are_scripts_that_bash_can_read_and_the_image_can_run() -> None:
    for script in (ROOT / "deploy").rglob("*.sh"):
        subprocess.run(["bash", "-n", str(script)], check=True)
        assert script.stat().st_mode & 0o111, script


def test_the_version_is_the_same_everywhere() -> None:
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_wheel_carries_every_file_that_the_packages_need_at_run_time_and_nothing_that_never_runs_there(
    tmp_path: Path,
) -> None:
    packages = ["contract", "runtime", "connectors", "scoring", "trainer", "federation", "tillguard"]
    elsewhere = ["embedded", "simulator", "demo", "bench", "tests"]
    for name in [*packages, *elsewhere, "pyproject.toml", "README.md", "LICENSE"]:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", build, "wheels"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    carried = set(zipfile.ZipFile(wheel).namelist())
    needed = {
        file.relative_to(tmp_path).as_posix()
        for package in packages
        for file in (tmp_path / package).rglob("*")
        if file.is_file()
    }
    assert needed - carried == set()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in carried)
    assert {name.partition("/")[0] for name in carried if ".dist-info/" not in name} == {*packages}


IMPORTED_BY = {
    "connectors": [
        "tillguard.cli",
        "connectors.assembly",
        "connectors.running.runner",
        "connectors.mysql.source",
        "connectors.mongodb.source",
    ],
    "backoffice": ["tillguard.cli", "tillguard.backoffice.root"],
    "scoring": ["tillguard.cli", "tillguard.wiring.worker", "scoring.worker.faust_app"],
    "trainer": [
        "tillguard.cli",
        "trainer.worker.drift_watch",
        "trainer.worker.training_process",
        "tillguard.wiring.trainer",
        "tillguard.operations.training",
        "trainer.drift.score_drift",
        "trainer.model.export",
        "trainer.model.fit",
        "trainer.model.oversample",
        "trainer.registry",
    ],
}
HIDE_THE_REST = """
import importlib, json, sys
from importlib.metadata import packages_distributions
modules, carried = json.loads(sys.argv[1])
owners = packages_distributions()

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('embedded', 'simulator', 'demo', 'bench'):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        owned = {owner.lower().replace('_', '-') for owner in owners.get(name.partition('.')[0], ())}
        if owned and not owned & set(carried):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
for name in modules:
    importlib.import_module(name)
"""


@pytest.mark.parametrize("part", PARTS)
def test_a_part_starts_with_nothing_but_what_its_image_carries(part: str) -> None:
    carried = ["tillguard", *(name.lower().replace("_", "-") for name in requirements(part))]
    asked = json.dumps([IMPORTED_BY[part], carried])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HIDE_THE_REST, asked],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
