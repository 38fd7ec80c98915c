"""Files of the model registry: written whole or not at all. Knows no database.

A file is written under a temporary name, flushed to the disk and renamed, and so is its folder: once `write` returns, a
kill or a power cut leaves the whole file.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.errors import TillguardError

LEFTOVER_AGE_S = 3_600
"""A temporary file older than this belongs to a trainer that was killed."""


def write(file: Path, data: bytes) -> None:
    """Puts `data` in `file`, in place of what was there; raises TillguardError where the disk cannot take it."""
    partial = file.with_name(f"{file.stem}.{os.getpid()}.partial")
    with disk_faults():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


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
