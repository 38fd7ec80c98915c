"""Files of the model registry: written whole or not at all. Knows no database.

A file is written under a temporary name that no other process uses, flushed to the disk and renamed, and its folder is flushed: once
`write` or `settle` returns, a kill or a power cut leaves the whole file.
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
"""A temporary file older than this belongs to a trainer that was killed."""


class Staged:
    """Files that are on the disk under temporary names of their own. A context manager: leaving it removes what was not settled."""

    def __init__(self, contents: Mapping[Path, bytes]) -> None:
        """Writes every one; raises TillguardError where the disk cannot take them, and then leaves nothing."""
        self._partial: dict[Path, Path] = {}
        try:
            with disk_faults():
                for file, data in contents.items():
                    file.parent.mkdir(parents=True, exist_ok=True)
                    self._partial[file] = file.with_name(f"{file.stem}.{secrets.token_hex(8)}.partial")
                    _write(self._partial[file], data)
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
        """Gives all of them their names, in place of what was there; raises TillguardError."""
        with disk_faults():
            for file, partial in self._partial.items():
                partial.replace(file)
            for folder in {file.parent for file in self._partial}:
                _sync_folder(folder)

    def _remove(self) -> None:
        for partial in self._partial.values():
            partial.unlink(missing_ok=True)


def write(file: Path, data: bytes) -> None:
    """Puts `data` in `file`, in place of what was there; raises TillguardError where the disk cannot take it."""
    with Staged({file: data}) as staged:
        staged.settle()


def _write(file: Path, data: bytes) -> None:
    with file.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def remove_leftovers(directory: Path) -> None:
    """Removes what killed trainers left half written, one folder below `directory`."""
    oldest_s = time.time() - LEFTOVER_AGE_S
    for partial in directory.glob("*/*.partial"):
        if partial.stat().st_mtime < oldest_s:
            partial.unlink(missing_ok=True)


@contextmanager
def disk_faults() -> Iterator[None]:
    """Turns the operating system's errors into one clear sentence."""
    try:
        yield
    except OSError as error:
        raise TillguardError(f"the model registry cannot be written: {error.strerror} ({error.filename})") from None
