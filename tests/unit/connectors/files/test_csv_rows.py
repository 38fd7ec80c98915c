"""CSV: every line belongs to a row that is read or to a dead letter that names its lines."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.config.file_settings import Files
from connectors.files import csv_rows
from connectors.files.file_row import FileRow
from connectors.files.rows import read, read_column_names


def files(path: Path, **changes: object) -> Files:
    return Files.model_validate({"kind": "file", "path": path, **changes})


def rows(tmp_path: Path, data: bytes | str, **changes: object) -> list[FileRow]:
    path = tmp_path / "a.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return list(read(files(path, **changes), [path]))


def cells(found: list[FileRow]) -> list[list[object]]:
    return [[value for name, value in row.values.items() if name != "_row"] for row in found if row.values is not None]


def test_cells_that_do_not_fit_the_header_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfid;name\n1;a\n2\n3;b;c\n\n4;\n5;caf\xe9\n6;" + b"x" * 200_000 + b"\n7;z\n")
    found = list(read(files(path, delimiter=";"), [path]))
    assert [row.reason for row in found] == ["", "malformed", "malformed", "", "", "oversized", ""]
    assert found[0].values == {"id": "1", "name": "a", "_row": 1}
    assert found[3].values == {"id": "4", "name": None, "_row": 4}
    assert found[4].values is not None
    assert found[4].values["name"] == "caf\udce9"
    assert read_column_names(files(path, delimiter=";"), path) == ["id", "name", "_row"]


HEADER = "id,note,x\n"


def test_a_quotation_mark_that_is_never_closed_costs_one_line(tmp_path: Path) -> None:
    lines = [f"{n},n{n},{n}\n" for n in range(1, 1001)]
    lines[9] = '10,"5 inch,10\n'
    lines[700] = '701,"a, b",701\n'
    found = rows(tmp_path, HEADER + "".join(lines))
    assert len(found) == 1000
    (bad,) = [row for row in found if row.values is None]
    assert (bad.number, bad.reason) == (10, "malformed")
    assert bad.detail.startswith("line 11: a quotation mark opens a field and ")


def test_a_quotation_mark_open_at_the_end_of_the_file_costs_its_line(tmp_path: Path) -> None:
    found = rows(tmp_path, HEADER + '1,a,1\n2,"b,2\n3,c,3')
    assert cells(found) == [["1", "a", "1"], ["3", "c", "3"]]
    assert [row.detail for row in found if row.values is None] == [
        "line 3: a quotation mark opens a field and is not closed properly"
    ]


def test_two_stray_marks_that_pair_up_are_told_with_their_lines(tmp_path: Path) -> None:
    lines = [f"{n},n{n},{n}\n" for n in range(1, 21)]
    lines[4] = '5,"open,5\n'
    lines[9] = '10,end",10\n'
    found = rows(tmp_path, HEADER + "".join(lines))
    (bad,) = [row for row in found if row.values is None]
    assert bad.detail == "lines 6 to 11 are one quoted field but look like rows: is a quotation mark missing?"
    assert len(found) == 15


def test_a_field_over_lines_is_read_where_it_is_well_formed(tmp_path: Path) -> None:
    found = rows(tmp_path, HEADER + '1,"a ""quoted""\nsecond, line\n",1\n2,b,2\n')
    assert cells(found) == [["1", 'a "quoted"\nsecond, line\n', "1"], ["2", "b", "2"]]


def test_marks_inside_of_a_field_are_text(tmp_path: Path) -> None:
    found = rows(tmp_path, HEADER + '1,5" pipe,1\n2,"5" pipe",2\n3,"",3\n')
    assert cells(found) == [["1", '5" pipe', "1"], ["2", '5 pipe"', "2"], ["3", None, "3"]]


@pytest.mark.parametrize(
    "data",
    [
        "id,note,x\r1,a,1\r2,b,2\r",
        "id,note,x\r\n1,a,1\r\n\r\n2,b,2",
        "\ufeffid,note,x\n1,a,1\n\ufeff2,b,2\n",
        "sep=,\nid,note,x\n1,a,1\n2,b,2\n",
        "\n\nid,note,x\n1,a,1\n2,b,2\n",
        "id,note,x\n1,a,1\n2,b,2\n".encode("utf-8-sig"),
    ],
)
def test_line_ends_and_byte_order_marks_change_nothing(data: str | bytes, tmp_path: Path) -> None:
    assert cells(rows(tmp_path, data)) == [["1", "a", "1"], ["2", "b", "2"]]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp1252", "latin-1", "cp1250"])
def test_text_of_other_encodings_is_read_by_the_setting(encoding: str, tmp_path: Path) -> None:
    data = "id,note,x\n1,K\u00e4se,1\n".encode(encoding)
    assert cells(rows(tmp_path, data, encoding=encoding)) == [["1", "K\u00e4se", "1"]]


def test_zero_bytes_long_lines_and_an_empty_file_stop_nothing(tmp_path: Path) -> None:
    long = "x" * (csv_rows.LINE_CHARS_MAX + 5)
    found = rows(tmp_path, HEADER + f'1,a\x00,1\n2,{long},2\n3,"{long}",3\n4,b,4\n')
    assert [row.reason for row in found] == ["", "oversized", "oversized", ""]
    assert found[1].detail == "line 3: more than 131,072 characters"
    assert rows(tmp_path, "") == []
    assert rows(tmp_path, HEADER) == []


@given(st.lists(st.lists(st.text('ab,"\n\r ;', max_size=6), min_size=2, max_size=2), max_size=12))
def test_what_a_writer_of_csv_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, table: list[list[str]]
) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([["id", "note"], *table])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text(buffer.getvalue(), newline="")
    found = list(read(files(path), [path]))
    refused = [row for row in found if row.values is None]
    assert all("look like rows" in row.detail for row in refused)
    if not refused:
        assert cells(found) == [[cell or None for cell in line] for line in table]


@given(st.lists(st.text('ab,"\n1', max_size=8), max_size=12))
def test_every_line_of_whatever_text_is_in_one_row_or_told(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text("id,note\n" + "\n".join(lines), newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_rows, "RECORD_LINES_MAX", 3)
        found = list(read(files(path), [path]))
    spanned = sum(_lines_of(row) for row in found)
    assert spanned == sum(bool(line) for line in "\n".join(lines).split("\n")) or any(
        row.values and "\n" in "".join(str(value) for value in row.values.values()) for row in found
    )


def _lines_of(row: FileRow) -> int:
    if row.detail.startswith("lines "):
        first, last = row.detail.split()[1], row.detail.split()[3]
        return int(last) - int(first) + 1
    return 1


def test_the_delimiter_of_a_tsv_is_a_tab(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("id\tx\n1\t2\n")
    assert cells(list(read(files(path), [path]))) == [["1", "2"]]
