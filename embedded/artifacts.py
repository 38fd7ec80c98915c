"""Brings the pinned Java artifacts into a cache that all stacks of a user share.

Invariant: a file under its final name is complete and had the pinned SHA-256. Downloads go to a temporary name first, and a
file lock lets one process download while others wait.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import BinaryIO

import yaml
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.util import http

from embedded.errors import PrerequisiteError

Report = Callable[[str], None]
"""Takes one line of progress for the person who waits; called from several threads."""

PARALLEL = 6
SYSTEM_STORES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
UNWRITABLE = {
    errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG,
}  # fmt: skip
TRIES = 4
FIRST_PAUSE_S = 1.0
"""Before the second try; doubled before each further one."""
LOCK_WAIT_S = 1800.0
SMALL_BYTES = 10_000_000
BLOCK_BYTES = 1 << 18
TIMEOUTS_S = (15, 60)
"""To connect, and between two blocks."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One jar of a Maven repository."""

    coordinates: str
    """group:name:version"""
    size_bytes: int
    sha256: str

    @property
    def path(self) -> str:
        """Where it lies in a repository, and below the cache's `maven` folder."""
        group, name, version = self.coordinates.split(":")
        return f"{group.replace('.', '/')}/{name}/{version}/{name}-{version}.jar"

    @property
    def version(self) -> str:
        """The part behind the last colon."""
        return self.coordinates.rpartition(":")[2]


def find_default_cache() -> Path:
    """The user's cache folder, or TILLGUARD_CACHE."""
    chosen = os.environ.get("TILLGUARD_CACHE")
    if chosen:
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tillguard"


def list_pinned(service: str) -> list[Artifact]:
    """The artifacts of one service, from artifacts.yaml."""
    text = resources.files("embedded").joinpath("artifacts.yaml").read_text(encoding="utf-8")
    return [
        Artifact(str(entry["artifact"]), int(entry["bytes"]), str(entry["sha256"]))
        for entry in yaml.safe_load(text)[service]
    ]


def fetch(artifacts: Sequence[Artifact], cache: Path, report: Report, *, label: str) -> list[Path]:
    """Paths of `artifacts` in `cache`, downloading what is missing; raises PrerequisiteError when that cannot be done.

    Blocks for as long as the download takes, or up to LOCK_WAIT_S while another process downloads.
    """
    folder = cache / "maven"
    if any(not (folder / artifact.path).exists() for artifact in artifacts):
        with hold_cache(cache, label, report):
            missing = [artifact for artifact in artifacts if not (folder / artifact.path).exists()]
            _download_all(missing, folder, report, label)
    return [folder / artifact.path for artifact in artifacts]


@contextmanager
def hold_cache(cache: Path, label: str, report: Report) -> Iterator[None]:
    """Held by the one thread that brings `label` into the cache; the system drops it when the process dies."""
    file = cache / f"{label.lower().replace(' ', '-')}.lock"
    with translate_write_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        _wait_for(descriptor, file, report)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, file: Path, report: Report) -> None:
    begin = time.monotonic()
    told = False
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > begin + LOCK_WAIT_S:
                raise PrerequisiteError(f"another process has held {file} for half an hour") from None
        # A child that another thread starts holds the lock for the moment before it runs its own program.
        if not told and time.monotonic() > begin + 1:
            report("waiting for another process that fills the same cache")
            told = True
        time.sleep(0.2)


@contextmanager
def translate_write_errors(folder: Path) -> Iterator[None]:
    """Turns a full disk or a forbidden folder into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise PrerequisiteError(f"the disk that holds {folder} is full") from error
        if error.errno in UNWRITABLE:
            raise PrerequisiteError(f"{folder} cannot be written: {error.strerror}") from error
        raise


def require_space(folder: Path, size_bytes: int) -> None:
    """Raises PrerequisiteError when the disk of `folder` has less than `size_bytes` free."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < size_bytes:
        raise PrerequisiteError(
            f"the disk that holds {folder} has {free >> 20} MB free, {size_bytes >> 20} MB are needed"
        )


class _Progress:
    """Counts bytes of all downloads together and reports every tenth of the whole; a small download only at its end."""

    def __init__(self, total_bytes: int, report: Report, label: str) -> None:
        self._total = total_bytes
        self._report = report
        self._label = label
        self._done = 0
        self._steps = 10 if total_bytes > SMALL_BYTES else 1
        self._step = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            step = self._steps * self._done // self._total
            if step > self._step:
                self._step = step
                self._report(f"{self._label}: {self._done / 1e6:.0f} of {self._total / 1e6:.0f} MB downloaded")


def _download_all(artifacts: Sequence[Artifact], folder: Path, report: Report, label: str) -> None:
    total = sum(artifact.size_bytes for artifact in artifacts)
    if not total:
        return
    require_space(folder, int(total * 1.2))
    progress = _Progress(total, report, label)
    with ThreadPoolExecutor(PARALLEL) as pool:
        for done in [pool.submit(_download, artifact, folder, progress) for artifact in artifacts]:
            done.result()


def _download(artifact: Artifact, folder: Path, progress: _Progress) -> None:
    url = f"{os.environ.get('TILLGUARD_MAVEN_URL', MAVEN_CENTRAL_URL).rstrip('/')}/{artifact.path}"
    for attempt in range(1, TRIES + 1):
        try:
            _try_download(url, artifact, folder / artifact.path, progress)
        except (OSError, ValueError) as error:
            if attempt == TRIES:
                raise PrerequisiteError(
                    f"{artifact.coordinates} could not be downloaded ({_reason(error)}); "
                    "the first start needs a Maven repository (TILLGUARD_MAVEN_URL names a mirror), later ones do not"
                ) from error
            time.sleep(FIRST_PAUSE_S * 2 ** (attempt - 1))
        else:
            return


def _authorities() -> str | bool:
    """The system's certificates where it has some: a company that inspects TLS puts its authority there."""
    if "REQUESTS_CA_BUNDLE" in os.environ or "CURL_CA_BUNDLE" in os.environ:
        return True
    return ssl.get_default_verify_paths().cafile or next((file for file in SYSTEM_STORES if Path(file).exists()), True)


def _reason(error: Exception) -> str:
    """Short enough for one sentence: connection errors of `requests` carry a whole trace."""
    return str(error) if len(str(error)) < 160 else type(error).__name__


def _try_download(url: str, artifact: Artifact, target: Path, progress: _Progress) -> None:
    """Raises ValueError when the content differs from the pin, OSError for network and status."""
    with translate_write_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        for left_by_a_kill in target.parent.glob(".download-*"):
            left_by_a_kill.unlink()
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".download-")
    partial = Path(name)
    try:
        with translate_write_errors(target.parent), os.fdopen(descriptor, "wb") as file:
            _receive(url, artifact, file, progress)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _receive(url: str, artifact: Artifact, file: BinaryIO, progress: _Progress) -> None:
    digest = hashlib.sha256()
    received = 0
    with http.get(url, stream=True, timeout=TIMEOUTS_S, verify=_authorities()) as answer:
        answer.raise_for_status()
        for block in answer.iter_content(BLOCK_BYTES):
            received += len(block)
            if received > artifact.size_bytes:
                break
            digest.update(block)
            file.write(block)
            progress.add(len(block))
    if received != artifact.size_bytes or digest.hexdigest() != artifact.sha256:
        progress.add(-min(received, artifact.size_bytes))
        raise ValueError("what arrived is not the pinned file")
