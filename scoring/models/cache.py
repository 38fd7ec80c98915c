"""The models a worker holds: put together from the models topic, checked, kept on disk, swapped without a pause.

One thread offers messages, others ask for models. A package that fails any check is refused, counted and logged, and the
model that served before continues. Memory is bounded: this many unfinished packages, this many loaded models, this many files.
"""

import contextlib
import itertools
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import structlog

from contract.errors import PackageRefusedError
from contract.metrics import Metrics
from contract.models import (
    CHUNK_BYTES,
    PACKAGE_BYTES_MAX,
    ModelChallenge,
    ModelChunk,
    ModelMessage,
    ModelPromotion,
)
from contract.package import hash_package, is_version, read_package
from runtime import atomic_file
from scoring.models.challenger import choose_challenger, decide_conduct
from scoring.models.onnx_model import OnnxModel
from scoring.ports import Challenger, Model

LOADED_MAX = 4
"""Models in memory: the serving one and those that redelivered transactions are pinned to."""
FILES_MAX = 500
FILES_BYTES_MAX = 1024**3
"""Both bound the directory; a model that redelivered transactions are pinned to should still be there days later."""
VERSIONS_MAX = 4 * FILES_MAX
UNFINISHED_MAX = 4
UNFINISHED_BYTES_MAX = 2 * PACKAGE_BYTES_MAX
MISSING_MAX = 16
UNWRITTEN_MAX = 2
"""Packages kept as bytes because the disk did not take them."""
SUFFIX = ".package.zip"

log = structlog.get_logger()


def describe_remedy_for_missing(version: str, retailer: str) -> str:
    """What an operator does about a model that transactions are pinned to and nobody has."""
    return (
        f"publish it again, where the trainer's registry is: tillguard models publish {version} --retailer {retailer}; "
        "what waits for it is then answered in full by itself"
    )


@dataclass(slots=True)
class _Unfinished:
    count: int
    pieces: dict[int, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces.values()))


class ModelCache:
    """Serving, challenging and pinned models of one retailer."""

    def __init__(self, directory: Path, retailer: str, metrics: Metrics) -> None:
        self._directory = directory
        self._retailer = retailer
        self._metrics = metrics
        self._decoder = msgspec.json.Decoder(ModelMessage)
        self._lock = threading.RLock()
        self._unfinished: OrderedDict[tuple[str, str], _Unfinished] = OrderedDict()
        self._sha256_of: OrderedDict[str, str] = OrderedDict()
        self._unwritten: OrderedDict[str, bytes] = OrderedDict()
        self._loaded: OrderedDict[str, OnnxModel] = OrderedDict()
        self._serving: OnnxModel | None = None
        self._missing: OrderedDict[str, None] = OrderedDict()
        self._wanted: ModelPromotion | None = None
        self._promotion: ModelPromotion | None = None
        self._challenge: ModelChallenge | None = None
        self._challenger: Challenger | None = None

    @property
    def serving(self) -> OnnxModel | None:
        """The promoted model, or None before the first one."""
        return self._serving

    @property
    def challenger(self) -> Challenger | None:
        """The model that runs next to the serving one, or None."""
        return self._challenger

    @property
    def missing(self) -> list[str]:
        """Versions that were asked for in vain and have not come since, the newest last."""
        with self._lock:
            return list(self._missing)

    def get(self, version: str) -> Model | None:
        """The model of `version`, from memory or disk; None where it is not to be had (log and metric say why)."""
        serving, challenger = self._serving, self._challenger
        if serving is not None and serving.version == version:
            return serving
        if challenger is not None and challenger.model.version == version:
            return challenger.model
        with self._lock:
            if version in self._loaded:
                self._loaded.move_to_end(version)
                return self._loaded[version]
            try:
                model = self._load(version)
            except PackageRefusedError as error:
                self._refuse(version, error)
                model = None
            self._note(version, found=model is not None)
            return model

    def _note(self, version: str, *, found: bool) -> None:
        """Remembers what is missing; the log says it once, however often a transaction is tried again."""
        if found:
            self._missing.pop(version, None)
            return
        self._sha256_of.pop(version, None)  # its file is gone: should it be published again, it is taken again
        if version in self._missing:
            return
        self._missing[version] = None
        if len(self._missing) > MISSING_MAX:
            self._missing.popitem(last=False)
        log.error(
            "pinned_model_missing", model_version=version, remedy=describe_remedy_for_missing(version, self._retailer)
        )

    def offer(self, value: bytes | None) -> None:
        """Takes one message of the models topic, in any order, any number of times; never raises for what it holds."""
        if value is None:  # a tombstone: the version was withdrawn from the topic; files stay for pinned transactions
            return
        try:
            message = self._decoder.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._refuse(
                "unknown", PackageRefusedError("format", f"not a message of this topic: {type(error).__name__}")
            )
            return
        with self._lock:
            try:
                match message:
                    case ModelChunk():
                        self._take(message)
                    case ModelPromotion():
                        self._promote(message)
                    case ModelChallenge():
                        self._challenge = message
                        self._settle_challenge()
            except PackageRefusedError as error:
                self._refuse(message.model_version or "unknown", error)

    def _take(self, chunk: ModelChunk) -> None:
        version, key = chunk.model_version, (chunk.model_version, chunk.package_sha256)
        if not is_version(version) or chunk.index >= chunk.count or len(chunk.data) > CHUNK_BYTES:
            raise PackageRefusedError("format", "a chunk that no package has")
        if self._holds(version, chunk.package_sha256):
            return
        unfinished = self._unfinished.setdefault(key, _Unfinished(chunk.count))
        if unfinished.count != chunk.count:
            del self._unfinished[key]
            raise PackageRefusedError("format", "chunks disagree about their number")
        unfinished.pieces[chunk.index] = chunk.data
        if len(unfinished.pieces) == chunk.count:
            del self._unfinished[key]
            self._finish(chunk, b"".join(data for _, data in sorted(unfinished.pieces.items())))
        self._bound_unfinished()

    def _bound_unfinished(self) -> None:
        while self._unfinished and (
            len(self._unfinished) > UNFINISHED_MAX
            or sum(one.size for one in self._unfinished.values()) > UNFINISHED_BYTES_MAX
        ):
            (version, _), _ = self._unfinished.popitem(last=False)
            log.warning("unfinished_package_dropped", model_version=version)

    def _holds(self, version: str, sha256: str) -> bool:
        """Whether this very package is here; raises PackageRefusedError where another has taken the version."""
        if version not in self._sha256_of:
            package = self._read(version)
            if package is None:
                return False
            try:
                self._check(package, version)
            except PackageRefusedError:
                self._forget(version)  # damaged on disk; here it comes again
                return False
            self._sha256_of[version] = hash_package(package)
        if self._sha256_of[version] == sha256:
            return True
        raise PackageRefusedError("checksum", "another package already has this version")

    def _finish(self, chunk: ModelChunk, package: bytes) -> None:
        if hash_package(package) != chunk.package_sha256:
            raise PackageRefusedError("checksum", "the package is not the one that was announced")
        self._check(package, chunk.model_version)
        self._sha256_of[chunk.model_version] = chunk.package_sha256
        while len(self._sha256_of) > VERSIONS_MAX:
            self._sha256_of.popitem(last=False)
        self._write(chunk.model_version, package)
        self._missing.pop(chunk.model_version, None)
        log.info("package_arrived", model_version=chunk.model_version, bytes=len(package))
        promotion, challenge = self._wanted, self._challenge
        if promotion is not None and promotion.model_version == chunk.model_version:
            self._promote(promotion)
        elif challenge is not None and challenge.model_version == chunk.model_version:
            self._settle_challenge()

    def _check(self, package: bytes, version: str) -> None:
        manifest = read_package(package).manifest
        if manifest.model_version != version:
            raise PackageRefusedError("format", "the package holds another version than announced")
        if manifest.retailer != self._retailer:
            raise PackageRefusedError("format", "the package was made for another retailer")

    def _promote(self, promotion: ModelPromotion) -> None:
        version, serving = promotion.model_version, self._serving
        if serving is not None and (serving.version, serving.sha256) == (version, promotion.package_sha256):
            self._wanted, self._promotion = None, promotion
            self._settle_challenge()
            return
        self._wanted = promotion
        if not is_version(version):
            raise PackageRefusedError("format", "a promotion of a version that cannot be")
        if not self._holds(version, promotion.package_sha256):
            log.info("promotion_waits_for_package", model_version=version)
            return
        model = self._loaded.get(version) or self._load(version)
        if model is None:
            return
        self._wanted, self._promotion = None, promotion
        before, self._serving = self._serving, model
        if before is not None:
            self._metrics.set("tillguard_scoring_model_info", 0, retailer=self._retailer, model_version=before.version)
        self._metrics.set("tillguard_scoring_model_info", 1, retailer=self._retailer, model_version=version)
        log.info("model_serves", model_version=version, before=before.version if before else None)
        self._settle_challenge()

    def _settle_challenge(self) -> None:
        """The challenger that the newest messages ask for, or none while its package is not here; never touches what serves."""
        challenge, before, after = self._challenge, self._challenger, None
        try:
            after = self._challenging(challenge)
        except PackageRefusedError as error:
            self._refuse((challenge and challenge.model_version) or "unknown", error)
        self._challenger = after
        self._tell_challenger(before, after)

    def _challenging(self, challenge: ModelChallenge | None) -> Challenger | None:
        package = choose_challenger(challenge, self._promotion)
        if challenge is None or package is None:
            return None
        version, sha256 = package
        if not self._holds(version, sha256):
            log.info("challenge_waits_for_package", model_version=version)
            return None
        model = self._loaded.get(version) or self._load(version)
        return None if model is None else Challenger(model, *decide_conduct(challenge, self._promotion))

    def _tell_challenger(self, before: Challenger | None, after: Challenger | None) -> None:
        if before == after:
            return
        for value, one in ((0, before), (1, after)):
            if one is not None:
                self._metrics.set(
                    "tillguard_scoring_challenger_info",
                    value,
                    retailer=self._retailer,
                    model_version=one.model.version,
                    mode=one.mode,
                )
        if after is None:
            log.info("no_challenger")
        else:
            log.info("model_challenges", model_version=after.model.version, mode=after.mode, share=after.share)

    def _load(self, version: str) -> OnnxModel | None:
        package = self._unwritten.get(version) or self._read(version)
        if package is None:
            return None
        known = self._sha256_of.get(version)
        if known is not None and hash_package(package) != known:
            self._forget(version)
            raise PackageRefusedError("checksum", "the file changed since it was written; it was removed")
        try:
            self._check(package, version)
        except PackageRefusedError:
            self._forget(version)
            raise
        model = OnnxModel(read_package(package))
        self._loaded[version] = model
        while len(self._loaded) > LOADED_MAX:
            self._loaded.popitem(last=False)
        return model

    def _refuse(self, version: str, error: PackageRefusedError) -> None:
        self._metrics.add("tillguard_scoring_packages_refused_total", retailer=self._retailer, reason=error.reason)
        log.error("package_refused", model_version=version[:128], reason=error.reason, detail=error.detail)

    def _file(self, version: str) -> Path:
        return self._directory / f"{version}{SUFFIX}"

    def _read(self, version: str) -> bytes | None:
        if not is_version(version):  # it may come from a record of another time; it must not lead out of the directory
            return None
        try:
            with self._file(version).open("rb") as stream:
                return stream.read(PACKAGE_BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("package_unreadable", model_version=version, error=type(error).__name__)
            return None

    def _write(self, version: str, package: bytes) -> None:
        """A full disk costs only the cache."""
        file = self._file(version)
        try:
            atomic_file.write(file, package)
        except OSError as error:
            log.warning("package_not_kept_on_disk", model_version=version, error=type(error).__name__)
            self._unwritten[version] = package
            while len(self._unwritten) > UNWRITTEN_MAX:
                self._unwritten.popitem(last=False)
            return
        self._prune(version)

    def _prune(self, newest: str) -> None:
        keep = {newest} | ({self._serving.version} if self._serving else set())
        keep |= {self._challenger.model.version} if self._challenger else set()
        try:
            found = [(file.stat(), file) for file in self._directory.glob(f"*{SUFFIX}")]
            found.sort(key=lambda pair: pair[0].st_mtime_ns, reverse=True)
            sizes = itertools.accumulate(stat.st_size for stat, _ in found)
            for place, ((_, file), size) in enumerate(zip(found, sizes, strict=True)):
                beyond = place >= FILES_MAX or size > FILES_BYTES_MAX
                if beyond and file.name.removesuffix(SUFFIX) not in keep:
                    file.unlink(missing_ok=True)
        except OSError as error:  # another worker on this machine prunes the same directory
            log.warning("packages_not_pruned", error=type(error).__name__)

    def _forget(self, version: str) -> None:
        self._sha256_of.pop(version, None)
        self._unwritten.pop(version, None)
        with contextlib.suppress(OSError):
            self._file(version).unlink(missing_ok=True)
