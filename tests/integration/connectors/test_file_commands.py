"""`connector new` and `connector check` on files, as a data team meets them: no server is needed."""

import csv
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from connectors.assembly import build_mapper, build_source, load, read_outcomes
from connectors.files.source import FileSource
from connectors.ports import Checkpoint, Row
from contract.dead_letters import DeadLetter
from contract.errors import ConfigurationError, PositionDeadError
from contract.events import Label, Transaction
from contract.settings import Settings, parse
from tillguard.cli import app

HEADER = ["id", "placed", "amount", "customer", "fraud"]
MAPPING = """\
name: sales
source: {{kind: file, path: {path}{source}}}
transactions:
  fields: {{transaction_id: id, event_time: {time}, amount: amount, currency: {{constant: EUR}}, customer: customer}}
labels:
  - column: fraud
    fields: {{label_time: {label_time}}}
"""


@pytest.fixture
def settings() -> Settings:
    return parse({"retailer": "shop", "rates": {"USD": 0.9}}, where="test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "settings.yaml").write_text("retailer: shop\nrates: {USD: 0.9}\n")
    return tmp_path


def rows(count: int = 30) -> list[list[object]]:
    start = datetime(2026, 6, 25, 8, 12, tzinfo=UTC)
    return [
        [f"o{n}", (start + timedelta(hours=7 * n)).strftime("%Y-%m-%d %H:%M"), f"{n}.50", f"c{n}", int(n % 9 == 0)]
        for n in range(count)
    ]


def write(path: Path, lines: list[list[object]], *, delimiter: str = ",", encoding: str = "utf-8") -> None:
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows([HEADER, *lines])


def mapping(
    folder: Path,
    *,
    path: str = "sales.csv",
    source: str = "",
    time: str = "placed",
    label_time: str = "{after_days: 7}",
) -> Path:
    file = folder / "sales.yaml"
    file.write_text(MAPPING.format(path=path, source=source, time=time, label_time=label_time))
    return file


def check(folder: Path, file: Path) -> tuple[int, str]:
    """Exit code, and what was printed or would be."""
    done = CliRunner().invoke(
        app, ["connector", "check", str(file), "--config", str(folder / "settings.yaml"), "--rows", "1"]
    )
    if isinstance(done.exception, ConfigurationError):
        return 2, "\n".join(done.exception.faults)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def new(folder: Path, name: str, *options: str) -> Path:
    """The file that `connector new` writes, where nobody answers questions."""
    file = folder / "new.yaml"
    done = CliRunner().invoke(
        app, ["connector", "new", "--kind", "file", "--path", str(folder / name), "-o", str(file), "--force", *options]
    )
    assert done.exit_code == 0, done.exception
    return file


def as_us(line: list[object]) -> list[object]:
    moment = datetime.fromisoformat(str(line[1]))
    return [line[0], moment.strftime("%m/%d/%Y %I:%M %p"), f"${float(str(line[2])) + 1000:,.2f}", *line[3:]]


def as_german(line: list[object]) -> list[object]:
    moment = datetime.fromisoformat(str(line[1]))
    return [line[0], moment.strftime("%d.%m.%Y %H:%M"), str(line[2]).replace(".", ","), f"Käse {line[3]}", line[4]]


def as_epoch(line: list[object]) -> list[object]:
    return [line[0], int(datetime.fromisoformat(f"{line[1]}+00:00").timestamp() * 1000), *line[2:4], f"{line[4]}.0"]


@pytest.mark.parametrize(
    ("change", "delimiter", "encoding"),
    [(as_us, ",", "utf-8"), (list, ",", "utf-32"), (as_german, ";", "cp1252"), (as_epoch, "\t", "utf-8"), (as_german, ";", "utf-16"), (list, "|", "utf-8")],
)  # fmt: skip
def test_what_new_writes_is_in_order_whatever_the_form(
    change: object, delimiter: str, encoding: str, folder: Path, settings: Settings
) -> None:
    assert callable(change)
    write(folder / "sales.csv", [change(line) for line in rows()], delimiter=delimiter, encoding=encoding)
    file = new(folder, "sales.csv")
    code, told = check(folder, file)
    assert (code, "is in order" in told) == (0, True), told
    found = list(read_outcomes(file, settings, datetime(2026, 11, 30, tzinfo=UTC)))
    transactions = [each for each in found if isinstance(each, Transaction)]
    assert len(transactions) * 2 == len(found) == 60
    assert transactions[1].event_time == datetime(2026, 6, 25, 15, 12, tzinfo=UTC)
    assert transactions[1].amount_minor % 100_000 == 150


def test_new_asks_when_labels_are_known_and_takes_the_settings_where_nobody_answers(folder: Path) -> None:
    write(folder / "sales.csv", rows())
    assert "label_time: {after_days: 7}" in new(folder, "sales.csv").read_text()
    assert "label_time: {after_days: 21}" in new(folder, "sales.csv", "--label-after-days", "21").read_text()
    home = folder / "connectors"
    home.mkdir()
    (folder / "settings.yaml").write_text("retailer: shop\ntrainer: {label_delay_days: 3}\n")
    done = CliRunner().invoke(
        app, ["connector", "new", "--kind", "file", "--path", str(folder / "sales.csv"), "-o", str(home / "a.yaml")]
    )
    assert done.exit_code == 0
    assert "label_time: {after_days: 3}" in (home / "a.yaml").read_text()


def test_check_says_which_format_would_fit_all_rows(folder: Path) -> None:
    write(folder / "sales.csv", [as_us(line) for line in rows()])
    code, told = check(folder, mapping(folder))
    assert code == 1
    assert "none of 30 rows can be used: event_time: not a time of format `iso`" in told
    assert "Note: event_time: `format: '%m/%d/%Y %I:%M %p'` would fit all 30 rows that were looked at" in told
    code, told = check(folder, mapping(folder, time='{column: placed, format: "%m/%d/%Y %I:%M %p"}'))
    assert code == 1
    assert "Note: amount: `decimal: ., thousands: ','` in `source` would fit all 30 rows" in told


def test_two_formats_in_one_column_are_told_and_read(folder: Path) -> None:
    lines = rows()
    for line in lines:
        moment = datetime.fromisoformat(str(line[1]))
        line[1] = moment.strftime("%d/%m/%Y %H:%M" if moment.day < 13 else "%d-%m-%Y %H:%M")
    write(folder / "sales.csv", lines)
    code, told = check(folder, mapping(folder, time='{column: placed, format: "%d-%m-%Y %H:%M"}'))
    assert code == 1
    assert re.search(r"\d+ of 30 rows cannot be used: event_time", told)
    proposed = re.search(r"`format: (\[.*?\])`", told)
    assert proposed is not None
    code, told = check(folder, mapping(folder, time=f"{{column: placed, format: {proposed[1]}}}"))
    assert code == 0, told
    assert "day and month may be the other way round" in told, "no day in the second format is above 12"


def test_check_says_which_encoding_and_delimiter_would_fit(folder: Path) -> None:
    write(folder / "sales.csv", [as_german(line) for line in rows()], delimiter=";", encoding="cp1252")
    code, told = check(folder, mapping(folder))
    assert code == 2
    assert '`encoding: "cp1252", delimiter: ";"` in `source` would fit' in told
    german = 'delimiter: ";", decimal: ","'
    code, told = check(folder, mapping(folder, source=f", {german}", time='{column: placed, format: "%d.%m.%Y %H:%M"}'))
    assert code == 1
    assert "Note: some text is not utf-8: `encoding: cp1252` in `source` would fit" in told
    code, told = check(
        folder,
        mapping(folder, source=f", {german}, encoding: latin-1", time='{column: placed, format: "%d.%m.%Y %H:%M"}'),
    )
    assert (code, "Käse" in told) == (0, True)


@pytest.mark.parametrize(
    ("name", "text", "code", "sentence"),
    [
        ("sales.csv", "id,placed,amount,customer,fraud\n" + "1,2026-06-01,1,c,0,\n" * 60, 1, "none of 60 rows can be used: 6 cells, the header has 5"),
        ("sales.json", json.dumps([{"id": 1}, {"id": 2}]), 1, "none of 1 rows can be used: a JSON array, not JSON lines"),
        ("sales.csv", "", 2, "sales.csv is empty: it has no header"),
        ("sales.csv", "id,placed,amount,customer,fraud\n", 2, "the file holds no row"),
        ("sales.jsonl", "\n\n", 2, "the file holds no row"),
        ("sales.csv", "id\n1\n", 2, "has one column only, id: is `delimiter` in `source` another, or does the header stand in a later line?"),
        ("sales.csv", "id,placed,amount,customer,fraud,amount\n1,2,3,4,5,6\n", 2, "has amount twice"),
        ("sales.xlsx", "PK", 2, "save it as CSV"),
        ("sales.csv.zip", "PK", 2, "unpack it"),
        ("sales.bak", "id\n", 2, "ends in none of"),
        ("sales", "id\n", 2, "ends in none of"),
        ("sales.csv.gz", "id\n1\n", 2, "is it compressed as its name says"),
        ("sales.csv", "PK\x03\x04...", 2, "sales.csv is a spreadsheet or a zip inside: save it as CSV"),
        ("sales.csv", "PAR1....", 2, "say `format: parquet`"),
        ("sales.parquet", "id\n1\n", 2, "cannot be read as parquet"),
        ("gone.csv", None, 2, "is not there"),
        ("sales.csv", "o1,2026-06-01 08:00,1.50,c,0\n" * 9, 2, "has no header, it seems: its first line holds values"),
        ("sales.csv", "no,placed,amount,customer,fraud\n1,2026-06-01,1,c,0\n", 2, "has no column id; it has no, placed, amount"),
        ("sales.csv", "<!DOCTYPE html><table>", 2, "sales.csv is HTML or XML inside"),
        ("sales.json", '{\n "id": 1\n}\n', 1, "where a document goes over several lines, `jq -c . FILE` writes each on one"),
        ("sales.7z", "7z", 2, "a .7z is not read: unpack it"),
        ("sales.tar.gz", "x", 2, "a .tar is not read: unpack it"),
    ],
)  # fmt: skip
def test_a_file_of_which_nothing_can_be_used_is_never_in_order(
    name: str, text: str | None, code: int, sentence: str, folder: Path
) -> None:
    if text is not None:
        (folder / name).write_text(text)
    found, told = check(folder, mapping(folder, path=name))
    assert (found, sentence in told.replace("\n", " ")) == (code, True), told
    assert "is in order" not in told


def test_check_warns_of_labels_dated_at_the_purchase_or_not_at_all(folder: Path) -> None:
    write(folder / "sales.csv", rows())
    code, told = check(folder, mapping(folder, label_time="placed"))
    assert (code, "Note: 30 of 30 labels are dated at their purchase or before it" in told) == (0, True), told
    file = mapping(folder)
    file.write_text(file.read_text().replace("    fields: {label_time: {after_days: 7}}\n", ""))
    code, told = check(folder, file)
    assert (code, "Note: labels have no time of their own: each counts as known 7 days after" in told) == (0, True)


def test_check_tells_repeated_ids_and_one_moment_for_all(folder: Path) -> None:
    write(folder / "sales.csv", [["o1", "2026-06-01", 1, "c", 0]] * 3)
    code, told = check(folder, mapping(folder))
    assert code == 0
    assert "Note: transaction_id: 2 of 3 rows repeat the id of another" in told
    assert "Note: event_time: all 3 rows that were looked at have the same" in told
    code, told = check(folder, mapping(folder, time='{constant: "2026-06-01"}'))
    assert code == 0, told


def test_rows_all_over_a_long_file_are_looked_at(folder: Path) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    lines = [[f"o{n}", (start + timedelta(minutes=6 * n)).strftime("%m/%d/%Y %H:%M"), n, "c", 0] for n in range(4000)]
    write(folder / "sales.csv", lines)
    text = new(folder, "sales.csv").read_text()
    assert "format: '%m/%d/%Y %H:%M'" in text
    assert "the other way round" not in text, "the 16th of January comes after row 3,000"
    lines[3_400][2] = "much"
    write(folder / "sales.csv", lines)
    code, told = check(folder, folder / "new.yaml")
    assert (code, "1 of 1,000 rows cannot be used: amount: not a number" in told) == (1, True), told


def test_new_says_why_a_file_gives_nothing_to_guess_from(folder: Path) -> None:
    for name, text, sentence in (
        ("a.json", '[{"id": 1}]', "holds no row to guess from: a JSON array, not JSON lines"),
        ("a.csv", "id,x\n", "holds no row to guess from"),
        ("a.csv", "PK\x03\x04", "is a spreadsheet or a zip inside"),
        ("a.xlsx", "PK\x03\x04", "save it as CSV"),
        ("a.csv", "", "a.csv holds no row to guess from"),
        ("a.csv", "o1,2026-06-01 08:00,1.50,c,0\n" * 9, "a.csv has no header, it seems: its first line holds values"),
        (
            "a.csv",
            "Sales of June\nprinted today\n" + "o1,2026-06-01,1.50\n" * 9,
            "9 of 10 rows that were looked at cannot be read: 3 cells, the header has 1; does the header stand in a later line",
        ),
        ("a.csv", "<html><table>", "is HTML or XML inside"),
        ("a.csv.gz", "id\n", "is it compressed as its name says, and whole?"),
        ("a.json", '{"data": [{"id": 1}, {"id": 2}]}\n', "holds one document without a time and an amount of its own"),
        (
            "a.json",
            '{"id": [1, 2], "placed": ["2026-06-01"], "amount": [1, 2]}\n',
            "holds one document without a time and an amount",
        ),
        ("a.bak", "ARROW1\x00\x00", "ends in none of"),
    ):
        (folder / name).write_text(text)
        done = CliRunner().invoke(app, ["connector", "new", "--kind", "file", "--path", str(folder / name)])
        assert isinstance(done.exception, ConfigurationError)
        assert sentence in str(done.exception)


def test_a_day_and_a_time_of_day_are_read_together(folder: Path, settings: Settings) -> None:
    (folder / "sales.csv").write_text(
        "id,day,time,amount,customer,fraud\n1,2026-06-01,08:12,1,c,0\n2,2026-06-01,,1,c,0\n3,2026-06-01,07:00,1,c,0\n"
    )
    found = list(
        read_outcomes(mapping(folder, time="{columns: [day, time]}"), settings, datetime(2026, 11, 30, tzinfo=UTC))
    )
    assert [each.event_time.hour for each in found if isinstance(each, Transaction)] == [7, 8]
    assert [each.detail for each in found if isinstance(each, DeadLetter)] == ["event_time: null or empty"]


def test_a_number_of_thirty_digits_that_nobody_mapped_stops_nothing(folder: Path, settings: Settings) -> None:
    lines = [{"id": n, "placed": f"2026-06-0{9 - n}", "amount": n, "customer": "c"} for n in (1, 2, 3)]
    lines[1]["wei"] = 123456789012345678901234567890
    (folder / "sales.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = list(read_outcomes(mapping(folder, path="sales.jsonl"), settings, datetime(2026, 11, 30, tzinfo=UTC)))
    assert [each.transaction_id for each in found if isinstance(each, Transaction)] == ["3", "2", "1"]


def test_the_same_rows_give_the_same_whatever_their_order(folder: Path, settings: Settings) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 40
    columns = {
        "id": pa.array(range(count)),
        "placed": pa.array([datetime(2026, 6, 1, n % 24) for n in range(count)], pa.timestamp("ns")),  # noqa: DTZ001
        "amount": pa.array([f"{n}.50" for n in range(count)]).cast(pa.decimal128(10, 2)),
        "customer": pa.array([f"c{n}" for n in range(count)]).dictionary_encode(),
        "fraud": pa.array([None if n % 3 else 1.0 for n in range(count)]),
        "spent": pa.array([timedelta(seconds=n) for n in range(count)], pa.duration("ns")),
    }
    sales = pa.table(columns)
    file = mapping(folder, path="sales.parquet", time='{column: placed, format: "%d.%m.%Y"}')
    file.write_text(file.read_text().replace("customer: customer", "customer: customer, session_s: spent"))
    found = []
    for order in (sales.sort_by("placed"), sales.sort_by([("placed", "descending")])):
        pq.write_table(order, folder / "sales.parquet")
        outcomes = read_outcomes(file, settings, datetime(2026, 11, 30, tzinfo=UTC))
        found.append({(each.transaction_id, each.session_s) for each in outcomes if isinstance(each, Transaction)})
    assert found[0] == found[1]
    assert len(found[0]) == count


def source(file: Path, settings: Settings) -> FileSource:
    config = load(file)
    made = build_source(config, build_mapper(config, settings), file.parent, {}, lambda _: False)
    assert isinstance(made, FileSource)
    return made


def test_a_position_is_dead_once_times_are_read_in_another_way(folder: Path, settings: Settings) -> None:
    write(folder / "sales.csv", rows(5))
    first = source(mapping(folder), settings)
    start = next(item.position for item in first.read_snapshot(None) if isinstance(item, Checkpoint))
    last = [item.position for item in first.read_stream(start) if isinstance(item, Checkpoint)][-1]
    assert [item for item in source(mapping(folder), settings).read_stream(last) if isinstance(item, Row)] == []
    corrected = source(mapping(folder, time="{column: placed, time_zone: Europe/Berlin}"), settings)
    with pytest.raises(PositionDeadError, match="event_time is read in another way"):
        list(corrected.read_stream(last))


def test_a_history_in_parts_is_trained_on_in_one_order(folder: Path, settings: Settings) -> None:
    from tillguard.history.reading import Found, open_file

    parts = folder / "parts"
    parts.mkdir()
    for number in range(3):
        write(parts / f"{number}.csv", rows()[number::3])
    found = Found()
    read = [
        each.transaction_id
        for each in open_file(settings, parts, mapping(folder), datetime(2026, 11, 30, tzinfo=UTC), found)
    ]
    assert read == [f"o{n}" for n in range(30)]
    assert len(found.labels) == 30
    pattern = [
        each.transaction_id
        for each in open_file(
            settings, parts / "[01].csv", mapping(folder), datetime(2026, 11, 30, tzinfo=UTC), Found()
        )
    ]
    assert len(pattern) == 20


def test_a_label_without_a_time_is_dated_the_label_delay_after_its_purchase_but_never_ahead(
    folder: Path, settings: Settings
) -> None:
    from contract.events import Label

    write(folder / "sales.csv", [["o1", "2026-06-01", 1, "c", 1], ["o2", "2026-06-20", 1, "c", 0]])
    file = mapping(folder)
    file.write_text(file.read_text().replace("    fields: {label_time: {after_days: 7}}\n", ""))
    now = datetime(2026, 6, 22, tzinfo=UTC)
    times = [each.label_time for each in read_outcomes(file, settings, now) if isinstance(each, Label)]
    assert times == [datetime(2026, 6, 8, tzinfo=UTC), now]


def labelled(folder: Path, genuine: str, fraud: str) -> Path:
    """A file of 30 rows, four of them frauds, in these words."""
    write(folder / "sales.csv", [[*line[:4], fraud if line[4] else genuine] for line in rows()])
    return folder / "sales.csv"


@pytest.mark.parametrize(
    ("genuine", "fraud"),
    [("legit", "fraud"), ("N", "Y"), ("False", "TRUE"), ("0.0", "1.0"), ("0,0", "1,0"), ("FALSCH", "WAHR"), ("No.", "Yes."),
     ("not_fraud", "confirmed_fraud"), ("off", "on"), ("t", "f"), ("F", "T")],
)  # fmt: skip
def test_words_that_say_fraud_are_read_as_what_they_mean(
    genuine: str, fraud: str, folder: Path, settings: Settings
) -> None:
    labelled(folder, genuine, fraud)
    file = new(folder, "sales.csv")
    found = list(read_outcomes(file, settings, datetime(2026, 11, 30, tzinfo=UTC)))
    labels = [each.fraud for each in found if isinstance(each, Label)]
    assert (len(labels), sum(labels)) == (30, 26 if genuine == "t" else 4)


@pytest.mark.parametrize(("genuine", "fraud"), [("N", "F"), ("G", "F"), ("L", "F"), ("00", "01"), ("clear", "hit")])
def test_words_that_may_mean_either_are_left_to_the_reader_and_check_says_so(
    genuine: str, fraud: str, folder: Path, settings: Settings
) -> None:
    labelled(folder, genuine, fraud)
    file = new(folder, "sales.csv")
    found = list(read_outcomes(file, settings, datetime(2026, 11, 30, tzinfo=UTC)))
    assert not [each for each in found if isinstance(each, DeadLetter) or (isinstance(each, Label) and each.fraud)]
    text = file.read_text()
    assert "is that so for each value?" in text
    _, told = check(folder, file)
    assert genuine == "N" or "Note: labels: none of the 30 rows that were looked at says fraud or genuine" in told


def test_labels_that_seem_the_other_way_round_or_never_say_fraud_are_doubted(folder: Path) -> None:
    labelled(folder, "1", "0")
    assert (
        "Note: labels: 26 of 30 are frauds: is what the column holds the other way round?"
        in check(folder, mapping(folder))[1]
    )
    write(folder / "sales.csv", [[*line[:4], "N" if line[4] == 0 else "F"] for line in rows(120)])
    assert "Note: labels: none of the 120 that were looked at is a fraud" in check(folder, mapping(folder))[1]


@pytest.mark.parametrize(
    ("sign", "line"),
    [("€{}", "constant: EUR}          # as the amounts say"), ("£{}", "constant: GBP}"), ("{} zł", "constant: PLN}"),
     ("${}", "constant: USD}          # by the sign in the amounts; or is it CAD, AUD, NZD?"), ("CHF {}", "constant: CHF}"),
     ("{} kr", "constant: SEK}          # by the sign in the amounts; or is it NOK, DKK, ISK?"), ("{}", "constant: EUR}          # or the column")],
)  # fmt: skip
def test_the_currency_that_the_amounts_show_is_taken(sign: str, line: str, folder: Path) -> None:
    write(folder / "sales.csv", [[*each[:2], sign.format(each[2]), *each[3:]] for each in rows()])
    assert line in new(folder, "sales.csv").read_text()


def test_amounts_of_another_or_of_several_currencies_are_told(folder: Path) -> None:
    write(folder / "sales.csv", [[*each[:2], f"{'£' if each[4] else '€'}{each[2]}", *each[3:]] for each in rows()])
    assert "# the amounts are of several currencies" in new(folder, "sales.csv").read_text()
    code, told = check(folder, mapping(folder, source=", decimal: ."))
    assert code == 0
    assert "Note: currency: 4 of 30 amounts show the sign of another currency" in told
    assert "(GBP by its sign, EUR by the mapping)" in told


@pytest.mark.parametrize(
    ("held", "spec"), [("€", "values: {€: EUR}"), ("978", "values: {978: EUR}"), ("EUR", "currency: currency\n")]
)
def test_a_column_of_signs_or_numbers_is_translated_to_codes(held: str, spec: str, folder: Path) -> None:
    with (folder / "sales.csv").open("w", newline="") as table:
        csv.writer(table).writerows([[*HEADER, "currency"], *([*line, held] for line in rows())])
    file = new(folder, "sales.csv")
    assert spec in file.read_text()
    assert check(folder, file)[0] == 0


@pytest.mark.parametrize("word", ["NULL", "\\N", "N/A", "NaN", "None"])
def test_words_that_mean_no_value_are_gaps_and_no_customer_of_that_name(
    word: str, folder: Path, settings: Settings
) -> None:
    write(folder / "sales.csv", [[*line[:3], word if n % 3 else line[3], line[4]] for n, line in enumerate(rows())])
    code, told = check(folder, mapping(folder))
    assert code == 0
    assert f"Note: 20 cells hold {word}, which counts as a value: `nulls: [" in told
    file = new(folder, "sales.csv")
    assert "Note: 20 cells" not in check(folder, file)[1]
    found = read_outcomes(file, settings, datetime(2026, 11, 30, tzinfo=UTC))
    assert sum(each.customer is not None for each in found if isinstance(each, Transaction)) == 10


def test_times_with_gaps_in_words_are_still_recognised(folder: Path) -> None:
    write(
        folder / "sales.csv", [[line[0], "NULL" if n % 9 == 0 else line[1], *line[2:]] for n, line in enumerate(rows())]
    )
    file = new(folder, "sales.csv")
    assert "# no usual format" not in file.read_text()
    assert "4 of 30 rows cannot be used: event_time: null or empty" in check(folder, file)[1]


@pytest.mark.parametrize("name", ["sales", "sales.bak", "sales.txt", "sales.jsonlines", "sales.pq"])
def test_a_name_that_says_nothing_is_made_up_for_by_the_content(name: str, folder: Path) -> None:
    write(folder / name, rows())
    if name == "sales.jsonlines":
        lines = [dict(zip(HEADER, line, strict=True)) for line in rows()]
        (folder / name).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    if name == "sales.pq":
        pq.write_table(pa.Table.from_pylist([dict(zip(HEADER, line, strict=True)) for line in rows()]), folder / name)
    form = {"sales.jsonlines": "jsonl", "sales.pq": "parquet"}.get(name, "csv")
    file = new(folder, name)
    assert f"format: {form}" in file.read_text()
    assert check(folder, file)[0] == 0


@pytest.mark.parametrize("delimiter", ["^", "~", "\x01"])
def test_delimiters_of_other_programs_are_found(delimiter: str, folder: Path) -> None:
    write(folder / "sales.csv", rows(), delimiter=delimiter)
    assert check(folder, new(folder, "sales.csv"))[0] == 0


def test_documents_inside_of_rows_are_looked_into(folder: Path) -> None:
    lines = [
        {"order": {"id": line[0], "placed": line[1]}, "pay": {"total": line[2]}, "fraud": line[4]} for line in rows()
    ]
    (folder / "sales.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    pq.write_table(pa.Table.from_pylist(lines), folder / "sales.parquet")
    for name in ("sales.jsonl", "sales.parquet"):
        file = new(folder, name)
        assert "transaction_id: order.id\n" in file.read_text()
        assert check(folder, file)[0] == 0


def test_numbers_that_are_none_cost_no_row_of_json(folder: Path, settings: Settings) -> None:
    lines = [
        dict(zip(HEADER, [*line[:4], float("nan") if n % 3 else line[4]], strict=True)) for n, line in enumerate(rows())
    ]
    (folder / "sales.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    found = list(read_outcomes(new(folder, "sales.jsonl"), settings, datetime(2026, 11, 30, tzinfo=UTC)))
    assert (len(found), sum(isinstance(each, Transaction) for each in found)) == (40, 30)


def test_whole_amounts_that_may_be_cents_are_doubted(folder: Path) -> None:
    write(folder / "sales.csv", [[*line[:2], 1234 + 7 * n, *line[3:]] for n, line in enumerate(rows())])
    assert (
        "# all amounts that were looked at are whole numbers: where they are cents, say `unit: minor`"
        in new(folder, "sales.csv").read_text()
    )
    assert "Note: amount: all amounts that were looked at are whole numbers" in check(folder, folder / "new.yaml")[1]
    write(folder / "sales.csv", [[*line[:2], 1000 * n, *line[3:]] for n, line in enumerate(rows())])
    assert "whole numbers" not in new(folder, "sales.csv").read_text()


def test_check_says_what_a_price_is_where_no_form_fits(folder: Path) -> None:
    write(folder / "sales.csv", [[*line[:2], f"{line[2]}%", *line[3:]] for line in rows()])
    assert (
        "Note: amount: no usual form of number fits all 30 rows that were looked at"
        in check(folder, mapping(folder))[1]
    )
