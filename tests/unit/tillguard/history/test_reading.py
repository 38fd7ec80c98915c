"""History files in our own form."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.errors import ConfigurationError, TrainingRefusedError
from contract.settings import Settings, parse
from tillguard.history.reading import Found, Known, LabelQueue, open_file

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def settings() -> Settings:
    return parse({"retailer": "shop"}, where="test")


def line(name: str, minute: int, **other: object) -> str:
    document = {
        "transaction_id": name, "retailer": "shop", "event_time": f"2026-05-01T10:{minute:02}:00Z",
        "ingest_time": "2026-05-01T11:00:00Z", "amount_minor": 100, "currency": "EUR",
        "origin": {"connector": "c", "phase": "replay", "source": "f", "position": "1"},
    }  # fmt: skip
    return json.dumps(document | other)


def read(settings: Settings, file: Path) -> tuple[list[str], Found]:
    found = Found()
    return [t.transaction_id for t in open_file(settings, file, None, NOW, found)], found


def test_lines_come_in_event_time_order_ties_in_file_order(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text("\n".join([line("c", 9), line("a", 1), line("d", 9), line("b", 5)]))
    assert read(settings, file)[0] == ["a", "b", "c", "d"]


def test_labels_are_read_by_either_name_and_null_is_none(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    lines = [
        line("a", 1, fraud=True),
        line("b", 2, label=0),
        line("c", 3, fraud=None),
        line("d", 4),
        line("e", 5, label=1),
    ]
    file.write_text("\n".join(lines))
    assert read(settings, file)[1].labels == {"a": True, "b": False, "e": True}


def test_lines_that_are_no_transaction_are_counted_and_passed_over(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    bad = ["{", "\x00", line("x", 1, amount_minor=-1), line("y", 1, transaction_id=7), '"' + "x" * 200_000 + '"', ""]
    file.write_bytes("\n".join([*bad, line("a", 1)]).encode() + b"\n\xff\xfe\n")
    names, found = read(settings, file)
    assert names == ["a"]
    assert found.rows.counts.total() == 6
    assert found.rows.counts["oversized"] == 1
    assert found.rows.first.startswith("history.jsonl, line 1: ")


def test_a_file_without_any_transaction_is_refused_with_its_first_fault(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text('{"amount": 3}\n')
    with pytest.raises(TrainingRefusedError, match=r"holds no transaction .*line 1: field transaction_id is missing"):
        read(settings, file)
    file.write_text("")
    with pytest.raises(TrainingRefusedError, match="holds no transaction"):
        read(settings, file)


def test_a_missing_file_a_folder_and_columns_without_a_mapping_are_each_one_sentence(
    settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        read(settings, tmp_path / "gone.jsonl")
    with pytest.raises(ConfigurationError, match="is not a file"):
        read(settings, tmp_path)
    table = tmp_path / "sales.csv"
    table.write_text("id,amount\n")
    with pytest.raises(ConfigurationError, match="--mapping"):
        read(settings, table)


def test_any_file_is_read_through_a_connector_file(settings: Settings, tmp_path: Path) -> None:
    table, mapping = tmp_path / "sales.csv", tmp_path / "sales.yaml"
    table.write_text("id,at,eur,bad\n2,2026-05-02T00:00:00Z,9.99,1\n1,2026-05-01T00:00:00Z,1.00,0\n3,never,1.00,0\n")
    mapping.write_text(
        "source: {kind: file, path: other.csv}\n"
        "transactions:\n  fields: {transaction_id: id, event_time: at, amount: eur, currency: {constant: EUR}}\n"
        "labels: [{column: bad}]\n"
    )
    found = Found()
    read_ = [(t.transaction_id, t.amount_minor) for t in open_file(settings, table, mapping, NOW, found)]
    assert read_ == [("1", 100), ("2", 999)]
    assert found.labels == {"1": False, "2": True}
    assert found.describe_unusable() == [
        "1 of 3 rows could not be used (field_invalid: row 3: event_time: not a time of format `iso`)"
    ]


def test_labels_become_known_by_their_time_and_only_frauds_and_what_takes_them_back() -> None:
    queue = LabelQueue(label_delay_days=1)
    found = Found(queue=queue)
    found.note_label("late", True, label_time_ms=500)
    found.note_label("genuine", False, label_time_ms=100)
    found.note_label("early", True, label_time_ms=200)
    found.note_label("delayed", True, event_time_ms=0)
    found.note_label("late", False, label_time_ms=900)
    assert queue.take_due(200) == []
    assert queue.take_due(901) == [Known("early", True, 200), Known("late", True, 500), Known("late", False, 900)]
    assert queue.take_due(86_400_001) == [Known("delayed", True, 86_400_000)]
    assert found.labels == {"late": False, "genuine": False, "early": True, "delayed": True}


@pytest.mark.parametrize("unknown", [2, -1, 0.5, 10**30])
def test_a_number_that_is_no_label_is_refused_and_its_transaction_stays(
    unknown: float, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text("\n".join([line("a", 1, fraud=unknown), line("b", 2, fraud=1.0), line("c", 3, label=0)]))
    names, found = read(settings, file)
    assert names == ["a", "b", "c"]
    assert found.labels == {"b": True, "c": False}
    (told,) = found.describe_unusable()
    assert told.startswith(
        "1 label could not be used: field_invalid: history.jsonl, line 1: fraud: neither true, false, 1, 0"
    )
    assert "`values`" in told


@pytest.mark.parametrize("text", ['"1"', '"true"', "[]", "{}"])
def test_a_label_that_is_no_number_refuses_its_line(text: str, settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(line("a", 1).replace("{", '{"fraud": ' + text + ", ", 1) + "\n" + line("b", 2))
    names, found = read(settings, file)
    assert names == ["b"]
    assert found.rows.counts == {"field_invalid": 1}


def through_a_mapping(settings: Settings, tmp_path: Path, table: str, labels: str) -> Found:
    sales, mapping = tmp_path / "sales.csv", tmp_path / "sales.yaml"
    sales.write_text(table)
    mapping.write_text(
        "source: {kind: file, path: sales.csv}\n"
        "transactions:\n  fields: {transaction_id: id, event_time: at, amount: eur, currency: {constant: EUR}}\n"
        f"labels: [{labels}]\n"
    )
    found = Found(queue=LabelQueue(7))
    assert list(open_file(settings, sales, mapping, NOW, found))
    return found


SALES = "id,at,eur,bad\n1,2026-05-01,1,1\n2,2026-05-02,1,0\n3,2026-05-20,1,1.0\n4,2026-05-31,1,\n5,2026-05-31,1,0.0\n"


def day(number: int) -> int:
    return int(datetime(2026, 5, number, tzinfo=UTC).timestamp() * 1000)


def test_a_label_of_a_file_without_a_time_is_known_the_label_delay_after_its_transaction(
    settings: Settings, tmp_path: Path
) -> None:
    found = through_a_mapping(settings, tmp_path, SALES, "{column: bad}")
    assert found.labels == {"1": True, "2": False, "3": True, "5": False}
    assert found.queue is not None
    assert found.queue.take_due(day(8)) == []
    assert found.queue.take_due(day(9)) == [Known("1", True, day(8))]
    assert found.queue.take_due(day(28)) == [Known("3", True, day(27))]
    assert [told for told in found.describe_doubts(7) if "have no time of their own" in told]


def test_a_label_that_becomes_known_only_later_is_not_learned_from(settings: Settings, tmp_path: Path) -> None:
    late = "{column: bad, fields: {label_time: {after_days: 400}}}"
    found = through_a_mapping(settings, tmp_path, SALES, late)
    assert found.labels == {}
    assert found.describe_unusable() == [
        "4 labels could not be used: time_future: row 1: label_time is ahead of the clock"
    ]
    weeks = "{column: bad, fields: {label_time: {after_days: 20}}}"
    assert through_a_mapping(settings, tmp_path, SALES, weeks).labels == {"1": True, "2": False}


def test_labels_dated_at_the_purchase_or_after_the_last_one_are_doubted(settings: Settings, tmp_path: Path) -> None:
    at_once = through_a_mapping(settings, tmp_path, SALES, "{column: bad, fields: {label_time: at}}")
    assert [told[:40] for told in at_once.describe_doubts(7)] == ["2 of 2 frauds are dated at their purchas"]
    too_late = through_a_mapping(
        settings, tmp_path, SALES, '{column: bad, fields: {label_time: {constant: "2026-06-01"}}}'
    )
    assert ["no risk feature can be learned" in told for told in too_late.describe_doubts(7)] == [True]
    assert through_a_mapping(
        settings, tmp_path, SALES, "{column: bad, fields: {label_time: {after_days: 5}}}"
    ).describe_doubts(7) == []  # fmt: skip


def test_labels_that_nobody_can_read_are_counted_apart_from_rows(settings: Settings, tmp_path: Path) -> None:
    table = SALES + "6,2026-05-31,1,perhaps\n7,2026-05-31,nothing,0\n"
    found = through_a_mapping(settings, tmp_path, table, "{column: bad}")
    rows, labels = found.describe_unusable()
    assert rows == "1 of 7 rows could not be used (amount_invalid: row 7: amount: not a number)"
    assert labels.startswith("1 label could not be used: field_invalid: row 6: fraud: neither true nor false")


def test_a_file_of_an_unknown_ending_is_one_sentence(settings: Settings, tmp_path: Path) -> None:
    mapping = tmp_path / "sales.yaml"
    mapping.write_text(
        "source: {kind: file, path: sales.csv}\n"
        "transactions:\n  fields: {transaction_id: id, event_time: at, amount: eur, currency: {constant: EUR}}\n"
    )
    for name in ("sales.bak", "sales"):
        (tmp_path / name).write_text(SALES)
        with pytest.raises(ConfigurationError, match="ends in none of") as refused:
            list(open_file(settings, tmp_path / name, mapping, NOW, Found()))
        assert len(refused.value.faults) == 1


def test_every_refusal_of_a_training_tells_what_could_not_be_used() -> None:
    from tillguard.operations.training import _explained

    with (
        pytest.raises(TrainingRefusedError, match=r"^too few frauds; 825 of 1,500 rows could not be used \(…\)$"),
        _explained(["825 of 1,500 rows could not be used (…)"]),
    ):
        raise TrainingRefusedError("too few frauds")


def test_a_byte_order_mark_and_an_array_in_our_own_form(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text("\ufeff" + line("a", 1, fraud=True) + "\n" + line("b", 2))
    names, found = read(settings, file)
    assert (names, found.labels) == (["a", "b"], {"a": True})
    file.write_text(f"[{line('a', 1)}, {line('b', 2)}]")
    with pytest.raises(TrainingRefusedError, match="a JSON array, not JSON lines"):
        read(settings, file)
