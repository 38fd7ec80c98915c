import json
import runpy
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from contract.codec import Decoder
from contract.features import SCHEMA_VERSION, get_schema, get_schema_hash
from contract.models import ModelMessage
from contract.rules import RulesMessage

HERE = Path(__file__).parent
MODULE = runpy.run_path(str(HERE / "examples.py"))
EXAMPLES = MODULE["EXAMPLES"]
FILES = sorted((HERE / "v1").glob("*.json"))


def decoder(name: str) -> Decoder[msgspec.Struct]:
    kind = type(EXAMPLES[name])
    unions = {"model": ModelMessage, "rules": RulesMessage}
    return Decoder(unions.get(name.partition("-")[0], kind))  # type: ignore[arg-type]


def same(left: msgspec.Struct, right: msgspec.Struct) -> bool:
    return type(left) is type(right) and msgspec.structs.asdict(left) == msgspec.structs.asdict(right)


def test_every_golden_file_has_its_value_and_every_value_its_file() -> None:
    assert {file.stem for file in FILES} == set(EXAMPLES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_bytes_written_once_decode_to_the_same_values_for_ever(file: Path) -> None:
    assert same(decoder(file.stem).decode(file.read_bytes()), EXAMPLES[file.stem])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_fields_of_a_later_version_are_tolerated(file: Path) -> None:
    document = json.loads(file.read_bytes()) | {"added_later": {"nested": [1, None]}}
    if "origin" in document:
        document["origin"]["added_inside_later"] = "x"
    assert same(decoder(file.stem).decode(json.dumps(document).encode()), EXAMPLES[file.stem])


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_a_feature_schema_is_the_one_that_models_and_logs_were_made_with(version: int) -> None:
    # Another hash is a new schema version: every stored feature record and model package carries one of these.
    assert get_schema_hash(version) == (HERE / "v1" / "feature-schemas.txt").read_text().split()[version - 1]


def test_a_feature_schema_begins_with_the_one_before_it() -> None:
    for version in range(2, SCHEMA_VERSION + 1):
        assert get_schema(version)[: len(get_schema(version - 1))] == get_schema(version - 1)


def test_the_writer_adds_what_is_new_and_never_touches_what_is_there(tmp_path: Path) -> None:
    write = MODULE["write"]
    assert sorted(write(tmp_path)) == sorted(EXAMPLES)
    (tmp_path / "label-full.json").write_bytes(b"golden")
    (tmp_path / "label-least.json").unlink()
    assert write(tmp_path) == ["label-least"]
    assert (tmp_path / "label-full.json").read_bytes() == b"golden"


def test_asking_the_writer_to_overwrite_is_refused() -> None:
    before = (HERE / "v1" / "label-full.json").read_bytes()
    done = subprocess.run(
        [sys.executable, str(HERE / "examples.py"), "label-full"], cwd=HERE.parents[1], env={"PYTHONPATH": "."},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "golden" in done.stderr
    assert (HERE / "v1" / "label-full.json").read_bytes() == before
