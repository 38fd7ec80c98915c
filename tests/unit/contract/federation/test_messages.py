"""A message of the federation is decoded where it is one, and its size is looked at first."""

import pytest

from contract.errors import InvalidEventError
from contract.federation import messages
from contract.federation.messages import Withdrawal, decode_message, encode_message, get_type_name


def test_a_message_is_called_as_its_type_is_on_the_wire() -> None:
    assert get_type_name(Withdrawal()) == "withdrawal"
    assert decode_message(encode_message(Withdrawal(reason="closed"))) == Withdrawal(reason="closed")


def test_what_is_longer_than_a_message_can_be_is_not_even_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_message(Withdrawal(reason="closed"))
    monkeypatch.setattr(messages, "MESSAGE_BYTES_MAX", len(data))
    decode_message(data)
    with pytest.raises(InvalidEventError) as error:
        decode_message(data + b"x")
    assert error.value.reason == "oversized"


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xc1", encode_message(Withdrawal())[:-1], b"\x81\xa4type\xa4nope"])
def test_what_is_no_message_is_malformed(data: bytes) -> None:
    with pytest.raises(InvalidEventError) as error:
        decode_message(data)
    assert error.value.reason == "malformed"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x82\xa4type\xaawithdrawal\xa6reason\xda\x01\xf5" + b"x" * 501, "field reason"),
        (b"\x82\xa4type\xaawithdrawal\xa6reason\x07", "field reason"),
        (b"\x81\xa4type\xa8claimant", "field type"),
        (b"\xc1", "field body, DecodeError"),
    ],
)
def test_a_fault_names_its_field_and_never_what_it_holds(data: bytes, told: str) -> None:
    with pytest.raises(InvalidEventError) as error:
        decode_message(data)
    assert error.value.detail == told
