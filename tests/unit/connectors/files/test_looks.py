"""How a file is written, guessed from its first bytes."""

import codecs

import pytest

from connectors.files.looks import guess_delimiter, guess_disguise, guess_encoding, guess_format, is_row


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        (b"id,amount\n", "utf-8"), ("Müller".encode(), "utf-8"), ("Müller".encode()[:2], "utf-8"), ("Müller €".encode("cp1252"), "cp1252"),
        (b"\x81\x8d\xff", "latin-1"), ("id".encode("utf-16"), "utf-16"), ("id".encode("utf-32"), "utf-32"),
        ("id,amount".encode("utf-16-le"), "utf-16-le"), ("id,amount".encode("utf-16-be"), "utf-16-be"), (b"a\x00bcdefgh", "utf-8"), (b"", "utf-8"),
    ],
)  # fmt: skip
def test_the_encoding_is_one_that_fits_all_of_the_beginning(head: bytes, encoding: str) -> None:
    assert guess_encoding(head) == encoding


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"PK\x03\x04rest", "spreadsheet or a zip"), (b"\xd0\xcf\x11\xe0", "old spreadsheet"), (b"\x1f\x8b\x08", ".gz"), (b"BZh9", ".bz2"),
        (b"\x28\xb5\x2f\xfd", ".zst"), (b"PAR1", "parquet"), (b"  <!DOCTYPE html>", "HTML"), (codecs.BOM_UTF8 + b"<table>", "HTML"), (b"<?xml ", "XML"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_told_with_the_remedy(head: bytes, words: str) -> None:
    assert words in (guess_disguise(head) or "")


def test_text_wears_no_disguise() -> None:
    assert guess_disguise(b"id,amount\n") is None


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"PAR1", "parquet"), (b'{"id": 1}', "jsonl"), (codecs.BOM_UTF8 + b' \r\n[{"id": 1}]', "jsonl"), (b"id,amount\n", "csv"),
        (b"a\x01b\n", "csv"), (b"\x02\x03", None), (b"", "csv"),
    ],
)  # fmt: skip
def test_the_format_is_told_by_the_first_letter(head: bytes, found: str | None) -> None:
    assert guess_format(head) == found


def test_a_first_line_with_a_date_or_a_price_is_no_header() -> None:
    assert not is_row(["id", "amount", "2nd_address", "v1.0x"])
    for value in ("2026-09-01", " 1.9.2026", "01/09/26", "12,50", "-3.1"):
        assert is_row(["id", value])


@pytest.mark.parametrize(
    ("lines", "delimiter"),
    [
        (["a;b;c", "1,5;2;3", "2,5;3;4"], ";"), (["a,b", "1,2"], ","), (["a\tb", "1\t2"], "\t"), (["a|b", "1|2", "1|2|3"], "|"),
        (["a\x01b", "1\x012"], "\x01"), (["alone", "x"], None), ([], None), (['"a,b";c', '"1,2";3'], ";"),
        (["a,b;c,d", "1,2;3,4"], ","),
    ],
)  # fmt: skip
def test_the_delimiter_gives_every_line_as_many_cells(lines: list[str], delimiter: str | None) -> None:
    assert guess_delimiter(lines) == delimiter
