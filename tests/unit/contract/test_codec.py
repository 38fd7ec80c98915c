import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.codec import DOCUMENT_BYTES_MAX, Admission, Decoder, encode
from contract.dead_letters import REASONS, DeadLetter
from contract.errors import InvalidEventError
from contract.events import Label, Origin, Resolution, Transaction
from contract.features import FeatureRecord
from contract.models import ModelMessage
from contract.verdicts import Verdict

TRANSACTIONS = Decoder(Transaction)
DECODERS: list[Decoder[Any]] = [
    TRANSACTIONS,
    Decoder(Label),
    Decoder(Resolution),
    Decoder(Verdict),
    Decoder(DeadLetter),
    Decoder(FeatureRecord),
    Decoder(ModelMessage),  # type: ignore[arg-type]  # a union is no type to mypy, as one of contract.models is none
]
SECRET = "4111111111111111"
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def fault(data: bytes | None, decoder: Decoder[Any] = TRANSACTIONS) -> InvalidEventError:
    with pytest.raises(InvalidEventError) as caught:
        decoder.decode(data)
    return caught.value


def refusal(data: bytes, decoder: Decoder[Any]) -> InvalidEventError | None:
    try:
        decoder.decode(data)
    except InvalidEventError as error:
        return error
    return None


def test_a_whole_transaction_decodes_and_encodes_back_to_the_same_message(transaction_document: dict[str, Any]) -> None:
    message = TRANSACTIONS.decode(json.dumps(transaction_document).encode())
    assert message.customer == "c-1"
    assert TRANSACTIONS.decode(encode(message)) == message


@pytest.mark.parametrize(
    ("change", "reason", "named"),
    [
        ({"transaction_id": None}, "field_missing", "transaction_id"),
        ({"transaction_id": ""}, "field_invalid", "transaction_id"),
        ({"transaction_id": "t\n"}, "field_invalid", "transaction_id"),
        ({"transaction_id": "t\x00"}, "field_invalid", "transaction_id"),
        ({"transaction_id": "x" * 129}, "field_invalid", "transaction_id"),
        ({"transaction_id": 7}, "field_invalid", "transaction_id"),
        ({"retailer": "acme\n"}, "field_invalid", "retailer"),
        ({"retailer": "Acme"}, "field_invalid", "retailer"),
        ({"currency": "eur"}, "field_invalid", "currency"),
        ({"currency": "EUR\n"}, "field_invalid", "currency"),
        ({"event_time": "2026-11-01T10:00:00"}, "field_invalid", "event_time"),
        ({"event_time": "2026-02-30T10:00:00Z"}, "field_invalid", "event_time"),
        ({"event_time": 1793527200}, "field_invalid", "event_time"),
        ({"amount_minor": -1}, "amount_invalid", "amount_minor"),
        ({"amount_minor": 10**12 + 1}, "amount_invalid", "amount_minor"),
        ({"amount_minor": 10**400}, "amount_invalid", "amount_minor"),
        ({"amount_minor": 19.99}, "amount_invalid", "amount_minor"),
        ({"amount_minor": "1999"}, "amount_invalid", "amount_minor"),
        ({"amount_minor": None}, "field_missing", "amount_minor"),
        ({"session_s": -0.1}, "field_invalid", "session_s"),
        ({"origin": {"connector": "c"}}, "field_missing", "origin.phase"),
        ({"origin": "somewhere"}, "field_invalid", "origin"),
        ({"aliases": {"card": "\n"}}, "field_invalid", "aliases"),
    ],
)
def test_a_fault_of_one_field_names_the_field_and_the_reason(
    transaction_document: dict[str, Any], change: dict[str, Any], reason: str, named: str
) -> None:
    error = fault(json.dumps(transaction_document | change).encode())
    assert (error.reason, named in error.detail) == (reason, True), error


def test_an_absent_required_field_is_missing(transaction_document: dict[str, Any]) -> None:
    del transaction_document["currency"]
    error = fault(json.dumps(transaction_document).encode())
    assert (error.reason, error.detail) == ("field_missing", "field currency is missing")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "malformed"),
        (b"", "malformed"),
        (b"{", "malformed"),
        (b"[1]", "malformed"),
        (b"null", "malformed"),
        (b'{"a":NaN}', "malformed"),
        (b'{"transaction_id":"\\ud800"}', "malformed"),
        (b'{"transaction_id":"\xff\xfe"}', "encoding"),
        (b" " * (DOCUMENT_BYTES_MAX + 1), "oversized"),
        (b'{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}", "malformed"),
    ],
)
def test_what_is_no_document_of_the_form_is_named_by_its_reason(data: bytes, reason: str) -> None:
    assert fault(data).reason == reason


def test_a_document_of_exactly_the_largest_size_is_read(transaction_document: dict[str, Any]) -> None:
    data = json.dumps(transaction_document).encode()
    assert TRANSACTIONS.decode(data + b" " * (DOCUMENT_BYTES_MAX - len(data))).transaction_id == "t-1"


def test_a_dead_letter_that_holds_the_largest_document_is_itself_read() -> None:
    letter = DeadLetter(
        retailer="acme", part="scoring", reason="malformed", detail="x" * 1024, source="s" * 256, position="p" * 512,
        failed_at=NOW, key="k" * 256, payload=b"\xff" * DOCUMENT_BYTES_MAX,
    )  # fmt: skip
    assert Decoder(DeadLetter).decode(encode(letter)) == letter
    assert fault(encode(letter), Decoder(DeadLetter, bytes_max=1000)).reason == "oversized"


def test_unknown_fields_are_tolerated_because_schemas_grow(transaction_document: dict[str, Any]) -> None:
    assert TRANSACTIONS.decode(json.dumps(transaction_document | {"new_field": [1]}).encode()).transaction_id == "t-1"


def test_the_last_of_two_equal_keys_wins_so_that_every_reader_sees_the_same(
    transaction_document: dict[str, Any],
) -> None:
    data = json.dumps(transaction_document).encode().replace(b"{", b'{"transaction_id":"first",', 1)
    assert TRANSACTIONS.decode(data).transaction_id == "t-1" == json.loads(data)["transaction_id"]


@given(decoder=st.sampled_from(DECODERS), data=st.binary(max_size=200))
def test_no_bytes_raise_anything_but_an_invalid_event(decoder: Any, data: bytes) -> None:
    error = fault(data, decoder)
    assert error.reason in REASONS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
FIELDS = sorted({name for kind in (Transaction, Label, Resolution, Verdict, Origin) for name in kind.__struct_fields__})


@given(
    decoder=st.sampled_from(DECODERS), document=st.dictionaries(st.sampled_from([*FIELDS, "type"]), JSON, max_size=12)
)
def test_no_json_raises_anything_but_an_invalid_event(decoder: Any, document: Any) -> None:
    error = refusal(json.dumps(document).encode(), decoder)
    assert error is None or error.reason in REASONS


PLANTED = st.builds(
    lambda before, after: before + SECRET + after,
    st.text(alphabet="'\"`$. -at\n\\{}[]", max_size=12),
    st.text(alphabet="'\"`$. -at\n\\{}[]", max_size=12),
)


ENUMS = ["origin", "source", "outcome", "decision", "cause", "type"]
"""The decoder repeats a refused value of these; of other fields it names the type only."""


@given(
    field=st.sampled_from(ENUMS) | st.sampled_from(FIELDS),
    secret=PLANTED,
    shape=st.sampled_from(["text", "number", "list", "map", "key"]),
)
def test_a_message_about_a_bad_value_never_repeats_the_value(field: str, secret: str, shape: str) -> None:
    value: Any = {
        "text": secret,
        "number": -int(SECRET) * 10**9,
        "list": [secret],
        "map": {"phase": secret, "connector": secret},
        "key": {secret: 5},
    }[shape]
    document = {
        "transaction_id": "t", "retailer": "acme", "event_time": "2026-11-01T10:00:00Z",
        "ingest_time": "2026-11-01T10:00:00Z", "amount_minor": 1, "currency": "EUR",
        "origin": {"connector": "c", "phase": "stream", "source": "s", "position": "p"},
    }  # fmt: skip
    for decoder in DECODERS:
        error = refusal(json.dumps(document | {field: value}).encode(), decoder)
        assert SECRET not in str(error)
        assert error is None or error.__cause__ is None


def test_a_value_that_imitates_the_decoder_s_own_words_is_still_withheld(transaction_document: dict[str, Any]) -> None:
    transaction_document["origin"]["phase"] = f"a' - at `$.{SECRET}`"
    error = fault(json.dumps(transaction_document).encode())
    assert error.detail == "origin.phase: Invalid enum value (value withheld)"


ADMISSION = Admission(retailer="acme", base_currency="EUR", rates={"JPY": 0.006})


def admitted(document: dict[str, Any], **change: object) -> int:
    return ADMISSION.admit(TRANSACTIONS.decode(json.dumps(document | change).encode()), NOW)


def test_an_admitted_transaction_is_worth_its_amount_in_the_base_currency(transaction_document: dict[str, Any]) -> None:
    assert admitted(transaction_document) == 1999
    assert admitted(transaction_document, currency="JPY", amount_minor=10_000) == 6000


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"retailer": "other"}, "retailer_mismatch"),
        ({"event_time": "2026-11-01T12:05:01Z"}, "time_future"),
        ({"event_time": "9999-12-31T23:59:59-23:59"}, "time_future"),
        ({"event_time": "1999-12-31T23:59:59Z"}, "time_too_old"),
        ({"event_time": "0001-01-01T00:00:00+23:59"}, "time_too_old"),
        ({"currency": "XTS"}, "currency_unknown"),
    ],
)
def test_what_must_not_be_judged_is_refused_with_its_reason(
    transaction_document: dict[str, Any], change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidEventError) as caught:
        admitted(transaction_document, **change)
    assert caught.value.reason == reason


@pytest.mark.parametrize("event_time", ["2026-11-01T12:05:00Z", "2000-01-01T00:00:00Z", "2026-11-02T02:05:00+14:00"])
def test_the_limits_of_time_themselves_are_admitted(transaction_document: dict[str, Any], event_time: str) -> None:
    assert admitted(transaction_document, event_time=event_time) == 1999


def test_the_tolerance_and_the_earliest_time_are_the_retailer_s(transaction_document: dict[str, Any]) -> None:
    strict = Admission("acme", "EUR", {}, datetime(2026, 1, 1, tzinfo=UTC), timedelta(0))
    with pytest.raises(InvalidEventError, match="time_future"):
        strict.admit(TRANSACTIONS.decode(json.dumps(transaction_document).encode()), datetime(2026, 10, 1, tzinfo=UTC))
