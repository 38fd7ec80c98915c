"""Which records name an entity."""

import msgspec
import pytest

from runtime.kafka.topic_log import Record
from tillguard.operations.forgetting import _letter_names, _standing, is_about_entity

VALUES = ["new.token", "old.token"]


def test_a_record_names_an_entity_in_its_field_or_among_its_aliases() -> None:
    assert is_about_entity(b'{"card": "new.token"}', "card", VALUES)
    assert is_about_entity(b'{"card": "other", "aliases": {"card": "old.token"}}', "card", VALUES)


@pytest.mark.parametrize(
    "value",
    [None, b"", b"{", b"\xff", b"[]", b"5", b"[" * 9000, b'{"email": "new.token"}', b'{"card": ["new.token"]}',
     b'{"aliases": "new.token"}', b'{"card": "new.token2"}'],
)  # fmt: skip
def test_everything_else_does_not(value: bytes | None) -> None:
    assert not is_about_entity(value, "card", VALUES)


def test_a_dead_letter_names_it_by_its_key_or_in_its_message() -> None:
    inner = b'{"card": "new.token"}'
    assert _letter_names(msgspec.json.encode({"key": "new.token"}), "card", VALUES)
    assert _letter_names(msgspec.json.encode({"key": "t1", "payload": inner}), "card", VALUES)
    assert not _letter_names(msgspec.json.encode({"key": "t1", "payload": b"{"}), "card", VALUES)
    assert not _letter_names(b"{", "card", VALUES)


def test_a_record_that_a_tombstone_took_back_does_not_stand() -> None:
    def record(offset: int, key: bytes, value: bytes | None, partition: int = 0) -> Record:
        return Record("t", partition, offset, key, value)

    records = [
        record(0, b"a", b"1"),
        record(1, b"b", b"1"),
        record(2, b"a", None),
        record(3, b"c", b"1"),
        record(4, b"c", b"2"),
        record(5, b"b", None, partition=1),
        record(6, b"d", b"0"),
    ]
    found = _standing(records, lambda each: each.value in (b"1", b"2"))
    assert [(each.key, each.offset) for each in found] == [(b"b", 1), (b"c", 3), (b"c", 4)]
