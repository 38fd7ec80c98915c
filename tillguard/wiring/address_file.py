"""Where a process writes the address of its web page once that listens: whoever started it on a free port reads it there."""

from pathlib import Path

from contract.errors import TransientError
from runtime import atomic_file


def write_address(file: Path | None, url: str) -> None:
    """Writes `url` as a line; does nothing for None. Raises TransientError where the disk does not take it."""
    if file is None:
        return
    try:
        atomic_file.write(file, f"{url}\n".encode())
    except OSError as error:
        raise TransientError(f"{file} cannot be written: {type(error).__name__}") from None
