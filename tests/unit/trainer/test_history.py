"""History files in our own form."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.errors import ConfigurationError, TrainingRefusedError
from contract.settings import Settings, parse
from tillguard.history import Found, Known, LabelQueue, open_file

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
    assert sum(found.refused.values()) == 6
    assert found.refused["oversized"] == 1
    assert found.first_fault.startswith("history.jsonl, line 1: ")


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
    assert sum(found.refused.values()) == 1


def test_labels_become_known_by_their_time_and_only_frauds_and_what_takes_them_back() -> None:
    queue = LabelQueue(label_delay_days=1)
    found = Found(queue=queue)
    found.label("late", True, label_time_ms=500)
    found.label("genuine", False, label_time_ms=100)
    found.label("early", True, label_time_ms=200)
    found.label("delayed", True, event_time_ms=0)
    found.label("late", False, label_time_ms=900)
    assert queue.due(200) == []
    assert queue.due(901) == [Known("early", True), Known("late", True), Known("late", False)]
    assert queue.due(86_400_001) == [Known("delayed", True)]
    assert found.labels == {"late": False, "genuine": False, "early": True, "delayed": True}
