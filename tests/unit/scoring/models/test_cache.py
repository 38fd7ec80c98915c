"""The cache of models: packages arrive in pieces, are checked, swapped and kept; nothing that fails a check replaces what serves."""

import io
import itertools
import random
import zipfile
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from contract.features import get_feature_names
from contract.metrics import Metrics
from contract.models import ModelChunk
from contract.package import build_package, hash_package
from scoring.models import cache
from scoring.models.cache import LOADED_MAX, MISSING_MAX, UNFINISHED_MAX, ModelCache
from support.tiny_model import graph, tiny_manifest, tiny_messages, tiny_package

WIDTH = len(get_feature_names())


class Scene:
    """A cache in `folder`, and what it counted."""

    def __init__(self, folder: Path, retailer: str = "shop") -> None:
        self.metrics = Metrics()
        self.folder = folder
        self.cache = ModelCache(folder, retailer, self.metrics)

    def offer(self, messages: Iterable[tuple[bytes, bytes]]) -> None:
        for _, value in messages:
            self.cache.offer(value)

    def refused(self, reason: str) -> float:
        found = self.metrics.registry.get_sample_value(
            "tillguard_scoring_packages_refused_total", {"retailer": "shop", "reason": reason}
        )
        return found or 0.0

    def serves(self) -> str | None:
        return self.cache.serving.version if self.cache.serving else None


def large_package(version: str = "large-1") -> bytes:
    """Several chunks long."""
    wide = np.zeros((WIDTH, 600), dtype=np.float32)
    onnx = graph([(wide, np.zeros(600, np.float32)), (np.zeros((600, 1), np.float32), np.zeros(1, np.float32))])
    return build_package(tiny_manifest(onnx, version), onnx)


def test_a_promoted_package_serves_and_is_counted_as_the_serving_one(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert scene.serves() is None
    scene.offer(tiny_messages(tiny_package("one"), "one"))
    scene.offer(tiny_messages(tiny_package("two"), "two"))
    assert scene.serves() == "two"
    info = {
        version: scene.metrics.registry.get_sample_value(
            "tillguard_scoring_model_info", {"retailer": "shop", "model_version": version}
        )
        for version in ("one", "two")
    }
    assert info == {"one": 0, "two": 1}


def test_chunks_may_come_in_any_order_doubled_and_mixed_with_another_packages(
    tmp_path: Path, chance: random.Random
) -> None:
    messages = (
        tiny_messages(large_package("large-1"), "large-1")[:-1]
        + tiny_messages(large_package("large-2"), "large-2")[:-1]
    )
    assert len(messages) > 4
    mixed = [*messages, *messages]
    chance.shuffle(mixed)
    promotions = [tiny_messages(large_package(version), version)[-1] for version in ("large-1", "large-2")]
    scene = Scene(tmp_path)
    scene.offer([promotions[0], *mixed])
    assert scene.serves() == "large-1"
    scene.offer([promotions[1]])
    assert scene.serves() == "large-2"


def test_a_promotion_that_comes_before_its_package_waits_for_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    chunk, promotion = tiny_messages(tiny_package())
    scene.offer([promotion])
    assert scene.serves() is None
    scene.offer([chunk])
    assert scene.serves() == "tiny-1"


def test_a_package_that_is_not_promoted_does_not_serve_but_can_be_had(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.offer(tiny_messages(tiny_package("one"), "one"))
    scene.offer(tiny_messages(tiny_package("two"), "two")[:-1])
    assert scene.serves() == "one"
    found = scene.cache.get("two")
    assert found is not None
    assert found.version == "two"


def bad_chunk(**changes: object) -> bytes:
    package = tiny_package()
    fields: dict[str, object] = {
        "model_version": "tiny-1", "index": 0, "count": 1, "package_sha256": hash_package(package), "data": package,
    }  # fmt: skip
    return msgspec.json.encode(ModelChunk(**(fields | changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"garbage", "format"),
        (b"\xff\xfe", "format"),
        (b'{"type":"chunk"}', "format"),
        (bad_chunk(index=3), "format"),
        (bad_chunk(model_version="../evil"), "format"),
        (bad_chunk(model_version="tiny-2"), "format"),
        (bad_chunk(data=b"x" * 100), "checksum"),
        (bad_chunk(data=b"x", package_sha256=hash_package(b"x")), "format"),
        (
            bad_chunk(data=tiny_package(retailer="other"), package_sha256=hash_package(tiny_package(retailer="other"))),
            "format",
        ),
    ],
)
def test_a_damaged_or_foreign_package_is_refused_and_the_old_model_goes_on(
    tmp_path: Path, value: bytes, reason: str
) -> None:
    scene = Scene(tmp_path)
    scene.offer(tiny_messages(tiny_package("old"), "old"))
    scene.cache.offer(value)
    assert scene.refused(reason) == 1
    assert scene.serves() == "old"


def test_a_package_whose_model_does_not_work_is_refused_when_it_is_promoted(tmp_path: Path) -> None:
    onnx = graph([(np.zeros((WIDTH, 1), np.float32), np.array([7.0], np.float32))], output="Identity")
    scene = Scene(tmp_path)
    scene.offer(tiny_messages(tiny_package("old"), "old"))
    scene.offer(tiny_messages(build_package(tiny_manifest(onnx, "bad"), onnx), "bad"))
    assert scene.refused("output") == 1
    assert scene.serves() == "old"


def test_a_package_for_another_feature_schema_is_refused(tmp_path: Path) -> None:
    package = tiny_package()
    other = package.replace(b'"feature_schema":"v2-', b'"feature_schema":"v9-')
    rewritten = _rezipped(other)
    scene = Scene(tmp_path)
    scene.cache.offer(bad_chunk(data=rewritten, package_sha256=hash_package(rewritten)))
    assert scene.refused("feature_schema") == 1


def _rezipped(package: bytes) -> bytes:
    """The same members with their checksums made right again."""
    source = zipfile.ZipFile(io.BytesIO(package))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for entry in source.infolist():
            start = entry.header_offset + 30 + len(entry.filename)
            target.writestr(entry.filename, package[start : start + entry.file_size])
    return buffer.getvalue()


def test_a_version_belongs_to_the_first_package_that_took_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.offer(tiny_messages(tiny_package(bias=-3.0)))
    scene.offer(tiny_messages(tiny_package(bias=3.0)))
    assert scene.refused("checksum") == 2  # its chunk and its promotion
    again = Scene(tmp_path)
    again.offer(tiny_messages(tiny_package(bias=3.0)))
    assert again.refused("checksum") == 2


def test_chunks_that_disagree_about_their_number_are_refused_together(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.cache.offer(bad_chunk(count=2))
    scene.cache.offer(bad_chunk(count=3, index=1))
    assert scene.refused("format") == 1
    scene.offer(tiny_messages(tiny_package()))
    assert scene.serves() == "tiny-1"


def test_unfinished_packages_are_bounded_in_number(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for number in range(3 * UNFINISHED_MAX):
        scene.cache.offer(bad_chunk(model_version=f"m-{number}", count=2))
    assert len(scene.cache._unfinished) == UNFINISHED_MAX


def test_a_restarted_worker_finds_pinned_models_on_disk(tmp_path: Path) -> None:
    Scene(tmp_path).offer(tiny_messages(tiny_package("pinned"), "pinned"))
    found = Scene(tmp_path).cache.get("pinned")
    assert found is not None
    assert found.version == "pinned"


def test_a_file_that_vanished_is_missed_once_and_taken_when_it_is_published_again(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    messages = tiny_messages(tiny_package("pinned"), "pinned")[:-1]
    scene.offer(messages)
    (tmp_path / "pinned.package.zip").unlink()
    with structlog.testing.capture_logs() as logs:
        assert [scene.cache.get("pinned") for _ in range(3)] == [None, None, None]
    assert [(entry["event"], entry["model_version"]) for entry in logs] == [("pinned_model_missing", "pinned")]
    assert "tillguard models publish pinned --retailer shop" in logs[0]["remedy"]
    assert scene.cache.missing == ["pinned"]
    scene.offer(messages)
    assert scene.cache.missing == []
    assert scene.cache.get("pinned") is not None


def test_missing_models_are_bounded_in_number(tmp_path: Path) -> None:
    models = Scene(tmp_path).cache
    for number in range(MISSING_MAX + 1):
        assert models.get(f"gone-{number}") is None
    assert models.missing == [f"gone-{number}" for number in range(1, MISSING_MAX + 1)]


def test_a_file_damaged_on_disk_is_not_served_and_is_replaced_when_it_comes_again(tmp_path: Path) -> None:
    messages = tiny_messages(tiny_package("pinned"), "pinned")
    Scene(tmp_path).offer(messages)
    (file,) = tmp_path.glob("*.zip")
    damaged = bytearray(file.read_bytes())
    damaged[-400] ^= 0xFF
    file.write_bytes(bytes(damaged))
    scene = Scene(tmp_path)
    assert scene.cache.get("pinned") is None
    scene.offer(messages)
    assert scene.serves() == "pinned"
    assert scene.cache.get("pinned") is not None


def test_a_file_damaged_on_disk_gives_way_to_the_good_package(tmp_path: Path) -> None:
    messages = tiny_messages(tiny_package())
    Scene(tmp_path).offer(messages)
    (file,) = tmp_path.glob("*.zip")
    file.write_bytes(file.read_bytes()[:-10])
    scene = Scene(tmp_path)
    scene.offer(messages)
    assert scene.serves() == "tiny-1"
    assert file.read_bytes() == tiny_package()


def test_a_promotion_of_what_serves_already_changes_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    messages = tiny_messages(tiny_package())
    scene.offer(messages)
    before = scene.cache.serving
    scene.offer(messages)
    assert scene.cache.serving is before


def test_a_promotion_of_a_version_that_cannot_be_is_refused(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.offer(tiny_messages(tiny_package(), "../evil")[-1:])
    assert scene.refused("format") == 1


def test_packages_that_the_disk_does_not_take_are_bounded_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file where the directory should be")
    scene = Scene(tmp_path / "file" / "models")
    for number in range(5):
        scene.offer(tiny_messages(tiny_package(f"m-{number}"), f"m-{number}")[:-1])
    assert [scene.cache.get(f"m-{number}") is not None for number in range(5)] == [False, False, False, True, True]


def test_a_file_that_changed_while_the_worker_ran_is_refused(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.offer(tiny_messages(tiny_package("serving"), "serving"))
    scene.offer(tiny_messages(tiny_package("pinned"), "pinned")[:-1])
    (tmp_path / "pinned.package.zip").write_bytes(tiny_package("pinned", bias=1.0))
    assert scene.cache.get("pinned") is None
    assert scene.refused("checksum") == 1


def test_a_version_from_a_strange_record_never_leads_out_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "evil.package.zip").write_bytes(tiny_package("evil"))
    folder = tmp_path / "models"
    assert Scene(folder).cache.get("../evil") is None
    assert Scene(folder).cache.get("") is None


def test_without_a_disk_to_write_to_the_model_serves_from_memory(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where the directory should be")
    scene = Scene(blocked / "models")
    scene.offer(tiny_messages(tiny_package()))
    assert scene.serves() == "tiny-1"
    assert scene.cache.get("tiny-1") is not None


@pytest.mark.parametrize(("limit", "value"), [("FILES_MAX", 7), ("FILES_BYTES_MAX", 7 * len(tiny_package("m-10")))])
def test_loaded_models_and_files_are_bounded_and_the_serving_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(cache, limit, value)
    scene = Scene(tmp_path)
    scene.offer(tiny_messages(tiny_package("first"), "first"))
    versions = [f"m-{number}" for number in range(10, 25)]
    for version in versions:
        scene.offer(tiny_messages(tiny_package(version), version)[:-1])
    assert all(scene.cache.get(version) is not None for version in versions[-LOADED_MAX - 2 :])
    assert len(scene.cache._loaded) == LOADED_MAX
    assert 7 <= len(list(tmp_path.glob("*.zip"))) <= 8
    assert (tmp_path / "first.package.zip").exists()
    assert scene.serves() == "first"


def test_nothing_is_left_half_written(tmp_path: Path) -> None:
    Scene(tmp_path).offer(tiny_messages(tiny_package()))
    assert [file.name for file in tmp_path.iterdir()] == ["tiny-1.package.zip"]


def test_a_tombstone_is_passed_over(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.offer(tiny_messages(tiny_package()))
    scene.cache.offer(None)
    assert scene.serves() == "tiny-1"
    assert all(scene.refused(reason) == 0 for reason in ("format", "checksum"))


@given(st.lists(st.binary(max_size=80), max_size=8))
def test_arbitrary_messages_are_refused_and_raise_nothing(
    tmp_path_factory: pytest.TempPathFactory, values: list[bytes]
) -> None:
    scene = Scene(tmp_path_factory.getbasetemp() / "nothing")
    for value in itertools.chain(values, [b"", b"{}"]):
        scene.cache.offer(value)
    assert scene.serves() is None
