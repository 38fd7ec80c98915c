"""How a connector file names the files to read, and how they are written. Pure."""

import codecs
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from connectors.config.fields import Spec
from contract.errors import ConfigurationError
from contract.sections.section import describe_fault

Format = Literal["parquet", "csv", "jsonl"]
FORMATS: dict[str, Format] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_DELIMITERS = {".tsv": "\t"}
_SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers")
_ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".tgz", ".lz4", ".z", ".br")


def _codec(name: object) -> object:
    if isinstance(name, str):
        try:
            is_text = codecs.lookup(name)._is_text_encoding  # noqa: SLF001 - nothing else tells
        except (LookupError, ValueError):
            is_text = False
        if not is_text:
            raise ValueError("not an encoding that Python knows, such as utf-8, cp1252, latin-1 or utf-16")
    return name


class Files(Spec):
    """Files that are replayed in event-time order."""

    kind: Literal["file"]
    path: Path = Field(
        description="Parquet, CSV or JSON lines (also .gz, .bz2, .xz, .zst): a file, a folder or a pattern as `sales/*.csv`; "
        "relative to the connector file"
    )
    format: Format | None = Field(None, description="else by the name's ending")
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="between columns of a CSV; a comma where absent (.tsv: a tab)"
    )
    encoding: Annotated[str, BeforeValidator(_codec)] = Field(
        "utf-8", description="of text: utf-8, cp1252, latin-1, utf-16 …"
    )
    decimal: Literal[".", ","] | None = Field(
        None,
        description="decimal sign of amounts and numbers in text, as in € 12,50 or (1,299.00); absent: plain 12.50",
    )
    thousands: Literal[".", ",", " ", "'"] | None = Field(
        None, description="what groups thousands in amounts and numbers in text"
    )
    nulls: list[str] = Field([], description="words in a CSV that mean no value, such as NULL or N/A")
    rate: float | None = Field(
        None, gt=0, le=1e6, description="rows a second; as fast as Kafka takes them where absent"
    )

    @model_validator(mode="after")
    def _is_readable(self) -> Self:
        if self.format is None and get_ending(self.path) and (fault := find_ending_fault(self.path)):
            raise ValueError(f"path: {fault}")
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            raise ValueError("thousands and decimal cannot be the same sign")
        return self

    def derive_for(self, path: Path) -> "Files":
        """The same settings for the files at `path`; raises ConfigurationError where its ending says no format."""
        return find_files(path, self.model_dump(exclude_unset=True))

    def identify_format(self, path: PurePath | None = None) -> Format:
        """How the file at `path` (else: every file) is written."""
        return self.format or FORMATS.get(get_ending(path or self.path), "csv")

    def get_separator(self, path: PurePath) -> str:
        """What stands between the columns of the CSV at `path`."""
        return self.delimiter or _DELIMITERS.get(get_ending(path), ",")


def find_files(path: Path, settings: Mapping[str, object]) -> Files:
    """The files at `path`; raises ConfigurationError where the settings do not fit or its ending says no format."""
    try:
        return Files.model_validate({**settings, "kind": "file", "path": path})
    except ValidationError as error:
        raise ConfigurationError([f"{path.name}: {describe_fault(fault)}" for fault in error.errors()]) from None


def get_ending(path: PurePath) -> str:
    """The ending that says how a file is written, in small letters: `.csv` of `SALES.CSV.gz`; empty where there is none."""
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    suffix = name.suffix.lower()
    return "" if any(sign in suffix for sign in "*?[") else suffix


def find_ending_fault(path: PurePath) -> str | None:
    """What to do about a file whose name does not say how it is written; None where it does."""
    found = get_ending(path)
    if found in _SPREADSHEETS:
        return f"{found} is a spreadsheet: save it as CSV (UTF-8) and name that file"
    packed = next((suffix for suffix in (path.suffix.lower(), found) if suffix in _ARCHIVES), None)
    if packed is not None:
        return f"a {packed} is not read: unpack it and name the file inside, or compress it by gzip"
    if found in FORMATS:
        return None
    return f"ends in none of {', '.join(FORMATS)}; say `format: csv`, `jsonl` or `parquet` in `source`"
