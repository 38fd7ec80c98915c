import runpy
from pathlib import Path

import msgspec
import pytest

from contract.errors import InvalidEventError
from contract.federation.frames import Announcement, Envelope, Frame
from contract.federation.messages import (
    CoordinatorMessage,
    Message,
    ParticipantMessage,
    decode_message,
    encode_message,
    get_type_name,
)

HERE = Path(__file__).parent
MODULE = runpy.run_path(str(HERE / "federation_examples.py"))
EXAMPLES = MODULE["EXAMPLES"]
FILES = sorted((HERE / "federation-v1").glob("*.msgpack"))
OUTSIDE = {"envelope": Envelope, "envelope-sealed": Envelope, "announcement": Announcement}


def decoded(name: str, data: bytes) -> object:
    if name in OUTSIDE:
        return msgspec.msgpack.decode(data, type=OUTSIDE[name])
    return msgspec.msgpack.decode(data, type=Frame) if name.startswith("frame-") else decode_message(data)


def test_every_golden_file_has_its_value_and_every_value_its_file() -> None:
    assert {file.stem for file in FILES} == set(EXAMPLES)


def test_every_kind_of_message_has_a_golden_file() -> None:
    kinds = set(ParticipantMessage.__args__) | set(CoordinatorMessage.__args__) | set(Frame.__args__)
    assert kinds <= {type(example) for example in EXAMPLES.values()}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_bytes_written_once_decode_to_the_same_values_for_ever(file: Path) -> None:
    assert decoded(file.stem, file.read_bytes()) == EXAMPLES[file.stem]


@pytest.mark.parametrize("name", [*OUTSIDE, "frame-envelope", "frame-announced", "frame-part", "ledger-entry"])
def test_what_is_signed_or_named_by_its_digest_encodes_to_the_same_bytes_for_ever(name: str) -> None:
    assert msgspec.msgpack.encode(EXAMPLES[name]) == (HERE / "federation-v1" / f"{name}.msgpack").read_bytes()


@pytest.mark.parametrize(
    "file",
    [file for file in FILES if not file.stem.startswith(("frame", "envelope", "announce"))],
    ids=lambda file: file.stem,
)
def test_a_message_that_is_cut_short_or_of_no_known_type_is_malformed(file: Path) -> None:
    data = file.read_bytes()
    for wrong in (data[:-1], b"", data + b"\x00", b"\x81\xa4type\xa7unknown"):
        with pytest.raises(InvalidEventError) as error:
            decode_message(wrong)
        assert error.value.reason == "malformed"


def test_a_message_goes_round_under_the_name_of_its_type() -> None:
    for example in EXAMPLES.values():
        if isinstance(example, Message.__args__):
            assert type(decode_message(encode_message(example))) is type(example)
            assert get_type_name(example)
