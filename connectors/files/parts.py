"""Which files a connector file means, and their bytes and text: compressed or not, in any encoding."""

import bz2
import gzip
import io
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from connectors.config.file_settings import COMPRESSED, FORMATS, Files, find_ending_fault, get_ending
from contract.errors import ConfigurationError

_PATTERN = frozenset("*?[")


def list_parts(files: Files, path: Path) -> list[Path]:
    """The files that `path` means, sorted by name: itself, all in the folder and below it, or all that fit the pattern.

    Raises ConfigurationError where there is none, or where one does not say how it is written. Hidden files and those that
    begin with an underscore (`_SUCCESS`) or a tilde (locks of editors) do not count.
    """
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = [each for each in sorted(path.rglob("*")) if each.is_file() and not _is_hidden(each.relative_to(path))]
    elif _PATTERN & set(str(path)):
        root = Path(path.anchor or ".")
        pattern = str(path.relative_to(path.anchor) if path.anchor else path)
        found = [each for each in sorted(root.glob(pattern)) if each.is_file() and not _is_hidden(Path(each.name))]
    else:
        raise ConfigurationError([f"{path} is not there"])
    if not found:
        raise ConfigurationError([f"{path} holds no file" if path.is_dir() else f"{path} fits no file"])
    _refuse_unknown(files, found)
    return found


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_", "~")) for part in path.parts)


def _refuse_unknown(files: Files, found: list[Path]) -> None:
    if files.format is not None:
        return
    faults = [f"{each.name}: {fault}" for each in found if (fault := find_ending_fault(each))]
    known = [get_ending(each) for each in found if get_ending(each) in FORMATS]
    if faults and known:
        faults[0] += (
            f"; where it is no part of the history, name the others by a pattern such as `{found[0].parent.name}/*{known[0]}`"
        )
    formats = sorted({FORMATS[get_ending(each)] for each in found if get_ending(each) in FORMATS})
    if not faults and len(formats) > 1:
        faults = [
            f"{' and '.join(formats)} files lie together; name one kind by a pattern such as `sales/*.{formats[0]}`"
        ]
    if faults:
        raise ConfigurationError(faults[:1])


def resolve_format(files: Files, folder: Path) -> Files:
    """`files`, with the format that the files of its folder or pattern have; raises ConfigurationError as `list_parts`."""
    if files.format is not None or get_ending(files.path):
        return files
    first = list_parts(files, folder / files.path)[0]
    return files.model_copy(update={"format": FORMATS[get_ending(first)]})


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked where its name says that it is compressed."""
    packed = path.suffix.lower() if path.suffix.lower() in COMPRESSED else ""
    if packed == ".zst":
        import pyarrow as pa  # noqa: PLC0415 - seconds that only such files need

        with pa.OSFile(str(path)) as source, pa.CompressedInputStream(source, "zstd") as stream:
            yield cast("BinaryIO", io.BufferedReader(stream))
        return
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    with openers.get(packed, open)(path, "rb") as file:
        yield file


@contextmanager
def open_text(files: Files, path: Path) -> Iterator[IO[str]]:
    """The file's text, with its line ends as they are; a byte-order mark at its start is left out."""
    encoding = "utf-8-sig" if files.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else files.encoding
    # bytes that are no text stay visible as lone surrogates; the mapping then refuses the row, not the file
    with open_bytes(path) as file, io.TextIOWrapper(file, encoding, errors="surrogateescape", newline="") as text:
        yield text
