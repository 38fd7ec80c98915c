"""Model packages as bytes: made by the trainer, read by workers, cut into messages for the models topic. Pure.

The same manifest and the same ONNX file always give the same bytes, so the SHA-256 of a package names it.
"""

import hashlib
import io
import math
import re
import zipfile
from typing import NamedTuple

import msgspec

from contract.errors import PackageRefusedError
from contract.features import get_schema_hash, get_schema_widths
from contract.models import (
    CHALLENGE_KEY,
    CHUNK_BYTES,
    MANIFEST_FILE,
    ONNX_FILE,
    PACKAGE_BYTES_MAX,
    PARITY_MAX,
    PROMOTION_KEY,
    Manifest,
    ModelChallenge,
    ModelChunk,
    ModelPromotion,
    Thresholds,
)

MANIFEST_BYTES_MAX = 1024 * 1024
THRESHOLD_NEVER = 1.000001
"""A threshold above every score: the decision is never taken on the score."""

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_MANIFEST_DECODER = msgspec.json.Decoder(Manifest)


class Package(NamedTuple):
    """A package that passed every check which needs no ONNX Runtime."""

    manifest: Manifest
    onnx: bytes
    sha256: str
    """Of the whole package, 64 hex digits."""


def hash_package(package: bytes) -> str:
    """The package's checksum, 64 hex digits."""
    return hashlib.sha256(package).hexdigest()


def hash_onnx(onnx: bytes) -> str:
    """The checksum for `Manifest.onnx_sha256`, 64 hex digits."""
    return hashlib.sha256(onnx).hexdigest()


def build_package(manifest: Manifest, onnx: bytes) -> bytes:
    """The package of `manifest` and `onnx`: an uncompressed zip, byte for byte the same for the same input.

    Raises PackageRefusedError for whatever a worker would refuse, so that it never leaves the trainer.
    """
    check_manifest(manifest, onnx)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in ((MANIFEST_FILE, msgspec.json.encode(manifest)), (ONNX_FILE, onnx)):
            entry = zipfile.ZipInfo(name, date_time=_ZIP_EPOCH)
            entry.create_system = 3  # zipfile writes the machine's own otherwise
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    package = buffer.getvalue()
    if len(package) > PACKAGE_BYTES_MAX:
        raise PackageRefusedError("format", f"{len(package)} bytes, at most {PACKAGE_BYTES_MAX}")
    return package


def read_package(package: bytes) -> Package:
    """The contents of `package`, checked; raises PackageRefusedError(format | checksum | feature_schema | parity)."""
    if len(package) > PACKAGE_BYTES_MAX:
        raise PackageRefusedError("format", f"{len(package)} bytes, at most {PACKAGE_BYTES_MAX}")
    members = _members(package)
    try:
        manifest = _MANIFEST_DECODER.decode(members[MANIFEST_FILE])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PackageRefusedError("format", f"{MANIFEST_FILE}: {error}") from None
    check_manifest(manifest, members[ONNX_FILE])
    return Package(manifest, members[ONNX_FILE], hash_package(package))


def _members(package: bytes) -> dict[str, bytes]:
    limits = {MANIFEST_FILE: MANIFEST_BYTES_MAX, ONNX_FILE: PACKAGE_BYTES_MAX}
    try:
        with zipfile.ZipFile(io.BytesIO(package)) as archive:
            entries = archive.infolist()
            if [entry.filename for entry in entries] != [MANIFEST_FILE, ONNX_FILE]:
                raise PackageRefusedError("format", f"a package holds {MANIFEST_FILE} and {ONNX_FILE}, nothing else")
            # Stored only: what is unpacked can never be larger than what arrived.
            if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
                raise PackageRefusedError("format", "compressed or encrypted entries")
            if any(entry.file_size > limits[entry.filename] for entry in entries):
                raise PackageRefusedError("format", "an entry is larger than its limit")
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, EOFError, ValueError, OSError, NotImplementedError, RuntimeError) as error:
        raise PackageRefusedError("format", f"not a readable zip: {type(error).__name__}") from None


def check_manifest(manifest: Manifest, onnx: bytes) -> None:
    """Raises PackageRefusedError where `manifest` does not fit `onnx`, this product's features, or itself."""
    if not is_version(manifest.model_version):
        raise PackageRefusedError("format", "model_version: letters, digits, dot, dash and underscore, at most 100")
    if manifest.onnx_sha256 != hash_onnx(onnx):
        raise PackageRefusedError("checksum", f"{ONNX_FILE} is not the file that the manifest describes")
    width = get_schema_widths().get(manifest.feature_schema)
    if width is None:
        raise PackageRefusedError(
            "feature_schema", f"made for {manifest.feature_schema[:64]}, this worker computes {get_schema_hash()}"
        )
    if manifest.features != width or len(manifest.ordinary) != width:
        raise PackageRefusedError("feature_schema", f"features and ordinary must count {width}")
    if not all(value is None or math.isfinite(value) for value in manifest.ordinary):
        raise PackageRefusedError("format", "ordinary: every value is finite or null")
    if not are_thresholds_ordered(manifest.thresholds):
        raise PackageRefusedError("format", f"thresholds: 0 <= flag <= hold <= block <= {THRESHOLD_NEVER}")
    if not all(math.isfinite(value) for value in manifest.metrics.values()):
        raise PackageRefusedError("format", "metrics: every value is finite; leave out what could not be measured")
    if not 0 <= manifest.parity_max_abs_diff <= PARITY_MAX:
        raise PackageRefusedError("parity", f"Keras and ONNX differ by more than {PARITY_MAX}")


def is_version(text: str) -> bool:
    """Whether `text` may name a model; such a name is safe as part of a file name and of a Kafka key."""
    return _VERSION.fullmatch(text) is not None


def are_thresholds_ordered(thresholds: Thresholds) -> bool:
    """Whether they are ordered and within range; False for NaN."""
    return 0 <= thresholds.flag <= thresholds.hold <= thresholds.block <= THRESHOLD_NEVER


def to_messages(package: bytes) -> list[tuple[bytes, bytes]]:
    """(key, value) of every chunk of `package` for the models topic, in order; raises PackageRefusedError."""
    content = read_package(package)
    version = content.manifest.model_version
    pieces = [package[start : start + CHUNK_BYTES] for start in range(0, len(package), CHUNK_BYTES)]
    return [
        (
            f"{version}/{index}".encode(),
            msgspec.json.encode(
                ModelChunk(
                    model_version=version,
                    index=index,
                    count=len(pieces),
                    package_sha256=content.sha256,
                    data=piece,
                )
            ),
        )
        for index, piece in enumerate(pieces)
    ]


def to_promotion(promotion: ModelPromotion) -> tuple[bytes, bytes]:
    """(key, value) of `promotion` for the models topic; send it after the chunks."""
    return PROMOTION_KEY.encode(), msgspec.json.encode(promotion)


def to_challenge(challenge: ModelChallenge) -> tuple[bytes, bytes]:
    """(key, value) of `challenge` for the models topic; send it after the chunks."""
    return CHALLENGE_KEY.encode(), msgspec.json.encode(challenge)
