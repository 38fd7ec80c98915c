"""Packages as bytes: what is built is read back, and nothing damaged is."""

import hashlib
import io
import math
import zipfile
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import package as package_module
from contract.errors import PackageRefusedError
from contract.features import get_feature_names, get_schema_hash
from contract.models import (
    CHUNK_BYTES,
    PARITY_MAX,
    DataRange,
    Manifest,
    ModelChallenge,
    ModelChunk,
    ModelMessage,
    ModelPromotion,
    Thresholds,
)
from contract.package import (
    THRESHOLD_NEVER,
    are_thresholds_ordered,
    build_package,
    hash_onnx,
    hash_package,
    read_package,
    to_challenge,
    to_messages,
    to_promotion,
)

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ONNX = b"stands for a graph"


def manifest(onnx: bytes = ONNX, **changes: object) -> Manifest:
    fields: dict[str, object] = {
        "model_version": "m-1",
        "retailer": "shop",
        "created_at": NOW,
        "feature_schema": get_schema_hash(),
        "features": len(get_feature_names()),
        "onnx_sha256": hash_onnx(onnx),
        "thresholds": Thresholds(flag=0.2, hold=0.5, block=0.9),
        "ordinary": [None] * len(get_feature_names()),
        "data": DataRange(first=NOW, last=NOW, transactions=10, frauds=1),
        "metrics": {"auc": 0.9},
        "parity_max_abs_diff": 1e-7,
        "parameters": {},
    }
    return Manifest(**(fields | changes))  # type: ignore[arg-type]


def test_a_package_is_read_back_as_it_was_built_and_is_the_same_bytes_every_time() -> None:
    package = build_package(manifest(), ONNX)
    assert build_package(manifest(), ONNX) == package
    content = read_package(package)
    assert content.manifest == manifest()
    assert content.onnx == ONNX
    assert content.sha256 == hashlib.sha256(package).hexdigest()


def test_an_entry_carries_nothing_of_the_machine_or_the_day() -> None:
    with zipfile.ZipFile(io.BytesIO(build_package(manifest(), ONNX))) as archive:
        for entry in archive.infolist():
            assert (entry.date_time, entry.create_system) == ((1980, 1, 1, 0, 0, 0), 3)
            assert entry.external_attr >> 16 == 0o644


@pytest.mark.parametrize(
    "changes",
    [
        {"thresholds": Thresholds(flag=0.0, hold=0.0, block=0.0)},
        {"thresholds": Thresholds(flag=THRESHOLD_NEVER, hold=THRESHOLD_NEVER, block=THRESHOLD_NEVER)},
        {"parity_max_abs_diff": 0.0},
        {"parity_max_abs_diff": PARITY_MAX},
    ],
)
def test_what_just_fits_is_a_package(changes: dict[str, Any]) -> None:
    assert read_package(build_package(manifest(**changes), ONNX)).manifest == manifest(**changes)


@pytest.mark.parametrize(
    "thresholds", [(-0.1, 0.5, 0.9), (0.5, 0.4, 0.9), (0.5, 0.6, 0.55), (0.1, 0.2, 1.1), (math.nan, 0.2, 0.3)]
)
def test_thresholds_out_of_order_or_range_are_none(thresholds: tuple[float, float, float]) -> None:
    flag, hold, block = thresholds
    assert not are_thresholds_ordered(Thresholds(flag=flag, hold=hold, block=block))


@pytest.mark.parametrize("how", [{"compress_type": zipfile.ZIP_DEFLATED}, {"compress_type": zipfile.ZIP_BZIP2}])
def test_a_package_with_a_compressed_entry_is_refused(how: dict[str, int]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, zipfile.ZipFile(io.BytesIO(build_package(manifest(), ONNX))) as built:
        for name in built.namelist():
            archive.writestr(name, built.read(name), **how)
    with pytest.raises(PackageRefusedError, match="compressed or encrypted"):
        read_package(buffer.getvalue())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"onnx_sha256": "0" * 64}, "checksum"),
        ({"feature_schema": "v1-000000000000"}, "feature_schema"),
        ({"features": 3}, "feature_schema"),
        ({"ordinary": [1.0]}, "feature_schema"),
        ({"ordinary": [math.inf] * len(get_feature_names())}, "format"),
        ({"thresholds": Thresholds(flag=0.6, hold=0.5, block=0.9)}, "format"),
        ({"thresholds": Thresholds(flag=0.1, hold=0.5, block=1.5)}, "format"),
        ({"thresholds": Thresholds(flag=math.nan, hold=0.5, block=0.9)}, "format"),
        ({"metrics": {"auc": math.nan}}, "format"),
        ({"parity_max_abs_diff": 2e-5}, "parity"),
        ({"parity_max_abs_diff": math.nan}, "parity"),
        ({"model_version": "../../etc/passwd"}, "format"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_before_it_leaves_the_trainer(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(PackageRefusedError) as refusal:
        build_package(manifest(**changes), ONNX)
    assert refusal.value.reason == reason


def rezip(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        (b"", "format"),
        (b"PK\x03\x04 not a zip", "format"),
        (rezip({"manifest.json": b"{}"}), "format"),
        (rezip({"manifest.json": b"{}", "model.onnx": b""}), "format"),
        (rezip({"manifest.json": b"\xff", "model.onnx": b""}), "format"),
        (rezip({"manifest.json": b"{}", "model.onnx": b"", "more": b""}), "format"),
        (rezip({"manifest.json": b"{}" * 99, "model.onnx": b"0" * 9999}, zipfile.ZIP_DEFLATED), "format"),
        (rezip({"manifest.json": b" " * 2_000_000, "model.onnx": b""}), "format"),
        (rezip({"manifest.json": msgspec.json.encode(manifest()), "model.onnx": b"another"}), "checksum"),
        (b"0" * (64 * 1024 * 1024 + 1), "format"),
    ],
)
def test_a_file_that_is_no_package_is_refused_with_its_reason(package: bytes, reason: str) -> None:
    with pytest.raises(PackageRefusedError) as refusal:
        read_package(package)
    assert refusal.value.reason == reason


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_one_changed_byte_never_gives_another_model(position: int, flip: int) -> None:
    package = bytearray(build_package(manifest(), ONNX))
    position %= len(package)
    package[position] ^= flip
    try:
        content = read_package(bytes(package))
    except PackageRefusedError:
        return
    # Only bytes that carry no content (time stamps, attributes) may change; the checksum of the whole tells even these.
    assert (content.manifest, content.onnx) == (manifest(), ONNX)
    assert content.sha256 != hash_package(build_package(manifest(), ONNX))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_and_nothing_else_is_raised(data: bytes) -> None:
    with pytest.raises(PackageRefusedError):
        read_package(data)


def test_chunks_carry_the_whole_package_below_the_size_limit_of_a_broker() -> None:
    onnx = bytes(range(256)) * 3000
    package = build_package(manifest(onnx), onnx)
    messages = to_messages(package)
    chunks = [msgspec.json.decode(value, type=ModelMessage) for _, value in messages]
    assert all(isinstance(chunk, ModelChunk) for chunk in chunks)
    assert b"".join(chunk.data for chunk in chunks) == package
    assert [key for key, _ in messages] == [f"m-1/{index}".encode() for index in range(len(messages))]
    assert max(len(chunk.data) for chunk in chunks) == CHUNK_BYTES
    assert max(len(value) for _, value in messages) < 900_000


def test_a_promotion_has_the_key_under_which_compaction_keeps_the_newest() -> None:
    promotion = ModelPromotion(model_version="m-1", package_sha256="0" * 64, promoted_at=NOW, promoted_by="trainer")
    key, value = to_promotion(promotion)
    assert key == b"serving"
    assert msgspec.json.decode(value, type=ModelMessage) == promotion


def test_a_challenge_has_a_key_of_its_own() -> None:
    challenge = ModelChallenge(
        model_version="m-1", package_sha256="0" * 64, mode="canary", share=0.1, decided_at=NOW, decided_by="ann"
    )
    key, value = to_challenge(challenge)
    assert key == b"challenger"
    assert msgspec.json.decode(value, type=ModelMessage) == challenge


def test_a_package_larger_than_workers_take_never_leaves_the_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(build_package(manifest(), ONNX))
    monkeypatch.setattr(package_module, "PACKAGE_BYTES_MAX", size)
    assert len(build_package(manifest(), ONNX)) == size
    monkeypatch.setattr(package_module, "PACKAGE_BYTES_MAX", size - 1)
    with pytest.raises(PackageRefusedError, match=f"{size} bytes, at most {size - 1}"):
        build_package(manifest(), ONNX)
