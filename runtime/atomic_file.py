"""Files that are written whole or not at all, and are on the disk when that is said.

A file is written under a temporary name of its own, flushed to the disk and renamed, and its folder is flushed: once `write` or
`Staged.settle` returns, a kill or a power cut leaves the whole file. All of it raises OSError; `translate_disk_errors` makes a sentence of one.
"""

import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from contract.errors import TillguardError

LEFTOVER_AGE_S = 3_600
"""A temporary file older than this belongs to a process that was killed."""
_SUFFIX = ".partial"


class Staged:
    """Files that are on the disk under temporary names. A context manager: leaving it removes what was not settled."""

    def __init__(self, contents: Mapping[Path, bytes], *, mode: int = 0o666) -> None:
        """Writes every one; raises OSError where the disk cannot take them, and then leaves nothing.

        Args:
            contents: by the file's final name. Its folder is made where it is missing.
            mode: the files' permissions, less the process's umask.
        """
        self._partial: dict[Path, Path] = {}
        try:
            for file, data in contents.items():
                file.parent.mkdir(parents=True, exist_ok=True)
                self._partial[file] = file.with_name(f".{file.name}.{secrets.token_hex(8)}{_SUFFIX}")
                _write(self._partial[file], data, mode)
        except BaseException:
            self._remove()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def settle(self) -> None:
        """Gives all of them their names, instead of what was there; raises OSError."""
        for file, partial in self._partial.items():
            partial.replace(file)
        self._sync_folders()

    def settle_new(self) -> None:
        """Gives all of them their names; raises FileExistsError for the first whose name is taken, whoever comes second, and OSError."""
        for file, partial in self._partial.items():
            os.link(partial, file)
        self._sync_folders()

    def _sync_folders(self) -> None:
        for folder in {file.parent for file in self._partial}:
            opened = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)

    def _remove(self) -> None:
        for partial in self._partial.values():
            partial.unlink(missing_ok=True)


def write(file: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Puts `data` in `file`, instead of what was there; raises OSError, and then nothing has changed."""
    with Staged({file: data}, mode=mode) as staged:
        staged.settle()


def remove_leftovers(folder: Path) -> None:
    """Removes what killed processes left half written in `folder` and one folder below; raises OSError."""
    oldest_s = time.time() - LEFTOVER_AGE_S
    for pattern in (f".*{_SUFFIX}", f"*/.*{_SUFFIX}"):
        for partial in folder.glob(pattern):
            if partial.stat().st_mtime < oldest_s:
                partial.unlink(missing_ok=True)


@contextmanager
def translate_disk_errors(what: str) -> Iterator[None]:
    """Turns the operating system's error into one clear sentence about `what`, a TillguardError."""
    try:
        yield
    except OSError as error:
        raise TillguardError(f"{what} cannot be written: {error.strerror} ({error.filename})") from None


def _write(file: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
