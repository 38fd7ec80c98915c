"""From records of the topics to one batch for the store."""

from typing import Any

import msgspec
import pytest

from contract.codec import DOCUMENT_BYTES_MAX
from contract.dead_letters import REASONS
from support.learning import BEGAN, feature_record, label
from trainer.examples.intake import Batch, Intake, Message, encode_letters

INTAKE = Intake("shop", "shop.features.v1", "shop.labels.v1")


def message(value: Any, *, topic: str = "features", key: bytes | None = b"t-1", offset: int = 0) -> Message:
    data = msgspec.json.encode(value) if isinstance(value, msgspec.Struct) else value
    return Message(f"shop.{topic}.v1", 0, offset, key, data)


def batch(*messages: Message) -> Batch:
    return INTAKE.read_batch(messages, BEGAN)


def test_both_topics_become_one_batch() -> None:
    found = batch(message(feature_record(1)), message(label(1), topic="labels"))
    assert found.records == [feature_record(1)]
    assert found.labels == [label(1)]
    assert (found.letters, found.forgotten) == ([], [])


def test_a_tombstone_takes_what_came_before_it_and_not_what_comes_after() -> None:
    found = batch(
        message(feature_record(1)),
        message(label(1), topic="labels"),
        message(None),
        message(label(1, fraud=False), topic="labels"),
        message(None, key=None),
    )
    assert found.forgotten == ["t-1"]
    assert found.records == []
    assert found.labels == [label(1, fraud=False)]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "malformed"),
        (b"\xff", "malformed"),
        (feature_record(1, retailer="other"), "retailer_mismatch"),
        (feature_record(1, values=b"123"), "field_invalid"),
        (feature_record(1, values=b""), "field_invalid"),
        (feature_record(1, values=b"1234" * 16_384), "oversized"),
        (feature_record(1, feature_schema="v" * 65), "field_invalid"),
        (label(1), "field_missing"),
    ],
)
def test_what_cannot_be_used_becomes_a_dead_letter_with_its_coordinates(value: Any, reason: str) -> None:
    found = batch(message(value, offset=7))
    ((key, letter),) = found.letters
    assert (letter.part, letter.source, letter.position) == ("trainer", "shop.features.v1", "0:7")
    assert letter.reason in REASONS
    assert letter.reason == reason or (reason == "malformed" and letter.reason == "encoding")
    assert key == b"t-1"
    assert encode_letters(found.letters)[0][0] == b"t-1"


def test_vectors_and_hashes_of_the_largest_size_are_taken() -> None:
    assert batch(message(feature_record(1, feature_schema="v" * 64))).records
    assert batch(message(feature_record(1, values=b"1234"))).records


def test_a_letter_holds_the_message_and_its_key_as_far_as_they_are_short() -> None:
    ((_, short),) = batch(message(b"{", key=b"t-1\xff")).letters
    assert (short.key, short.payload) == ("t-1\ufffd", b"{")
    ((_, long),) = batch(message(b"{" * (DOCUMENT_BYTES_MAX + 1), key=b"k" * 300)).letters
    assert (long.key, long.payload) == ("k" * 256, None)
    ((_, border),) = batch(message(b"{" * DOCUMENT_BYTES_MAX, key=None)).letters
    assert (border.key, border.payload) == (None, b"{" * DOCUMENT_BYTES_MAX)


def test_letters_without_a_key_never_share_one() -> None:
    found = batch(message(b"{", key=None, offset=1), message(b"{", key=None, offset=2))
    assert len({key for key, _ in found.letters}) == 2
