"""Keys rest encrypted, appear nowhere, and are read back only whole, by their owner and with the passphrase."""

import copy
import logging
import pickle
from pathlib import Path

import msgspec
import pytest

from federation.messages.identity import Identity, KeyCost, PublicIdentity, read_public, read_secret
from federation.refusals import KeyStoreError
from support.masking_round import seeded_bytes

CHEAP = KeyCost(memory_kib=128, iterations=1, lanes=1)
SECRET = b"correct horse battery"


@pytest.fixture
def identity() -> Identity:
    return Identity.generate("shop-a", seeded_bytes(1))


def reason(error: pytest.ExceptionInfo[KeyStoreError]) -> str:
    return error.value.reason


def test_what_is_saved_is_loaded_as_the_same_identity(identity: Identity, tmp_path: Path) -> None:
    path = tmp_path / "keys" / "a.key"
    identity.save(path, SECRET, cost=CHEAP)
    loaded = Identity.load(path, SECRET)
    assert loaded.public == identity.public == read_public(path)
    assert loaded.public.verify(identity.sign(b"data", b"d"), b"data", b"d")
    assert loaded.unseal(identity.public.seal(b"text", b"info"), b"info") == b"text"


def test_the_file_is_its_owner_s_alone_and_holds_no_secret_in_the_clear(identity: Identity, tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    identity.save(path, SECRET, cost=CHEAP)
    assert path.stat().st_mode & 0o777 == 0o600
    seeds = seeded_bytes(1)(64)
    assert seeds[:32] not in path.read_bytes()
    assert seeds[32:] not in path.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["a.key"]


def test_a_file_that_others_may_read_is_refused(identity: Identity, tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    identity.save(path, SECRET, cost=CHEAP)
    path.chmod(0o640)
    with pytest.raises(KeyStoreError, match="chmod 600") as error:
        Identity.load(path, SECRET)
    assert reason(error) == "permissions"


def test_keys_are_never_written_over_others(identity: Identity, tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    identity.save(path, SECRET, cost=CHEAP)
    before = path.read_bytes()
    with pytest.raises(KeyStoreError) as error:
        Identity.generate("shop-b").save(path, SECRET, cost=CHEAP)
    assert reason(error) == "exists"
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.key"]


def test_a_wrong_passphrase_opens_nothing(identity: Identity, tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    identity.save(path, SECRET, cost=CHEAP)
    with pytest.raises(KeyStoreError) as error:
        Identity.load(path, b"another passphrase")
    assert reason(error) == "passphrase"


def test_a_short_passphrase_is_refused_before_anything_is_written(identity: Identity, tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError):
        identity.save(tmp_path / "a.key", b"short")
    assert list(tmp_path.iterdir()) == []


def test_any_changed_byte_of_a_key_file_is_noticed(identity: Identity, tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    identity.save(path, SECRET, cost=CHEAP)
    whole = path.read_bytes()
    for position in [*range(40), *range(40, len(whole), 97), len(whole) - 1]:
        changed = bytearray(whole)
        changed[position] ^= 1
        path.write_bytes(bytes(changed))
        with pytest.raises(KeyStoreError) as error:
            Identity.load(path, SECRET)
        assert reason(error) in {"format", "passphrase"}


@pytest.mark.parametrize("content", [b"", b"text", b"\x93\x01\x02", b"x" * 70_000])
def test_what_is_no_key_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(KeyStoreError) as error:
        Identity.load(path, SECRET)
    assert reason(error) == "format"


def test_a_file_cannot_make_its_reader_spend_without_bound(identity: Identity, tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    identity.save(path, SECRET, cost=CHEAP)
    fields = msgspec.msgpack.decode(path.read_bytes())
    fields[4] = [2**31, 1, 1]
    path.write_bytes(msgspec.msgpack.encode(fields))
    with pytest.raises(KeyStoreError) as error:
        Identity.load(path, SECRET)
    assert reason(error) == "format"


def test_a_missing_file_and_a_folder_that_cannot_be_made_are_said_plainly(identity: Identity, tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="does not exist"):
        Identity.load(tmp_path / "none.key", SECRET)
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyStoreError, match="cannot be written"):
        identity.save(tmp_path / "file" / "a.key", SECRET, cost=CHEAP)


def test_a_passphrase_file_gives_its_line_and_must_be_its_owner_s(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(SECRET + b"\n")
    path.chmod(0o600)
    assert read_secret(path) == SECRET
    path.chmod(0o644)
    with pytest.raises(KeyStoreError):
        read_secret(path)


def test_secrets_appear_in_no_text_and_travel_by_no_copy(
    identity: Identity, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    seeds = seeded_bytes(1)(64)
    logging.getLogger().warning("%s %r", identity, identity)
    shown = caplog.text + repr(identity) + str(identity) + repr(identity.public.fingerprint)
    for secret in (seeds[:32], seeds[32:]):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            way(identity)


def test_a_fingerprint_tells_either_key(identity: Identity) -> None:
    other = Identity.generate("shop-a", seeded_bytes(2)).public
    mine = identity.public
    mixed = PublicIdentity(name="shop-a", signing_key=mine.signing_key, sealing_key=other.sealing_key)
    assert len({mine.fingerprint, other.fingerprint, mixed.fingerprint}) == 3
    assert len(mine.fingerprint) == 64
    assert msgspec.structs.replace(mine, name="b").fingerprint == mine.fingerprint


def test_keys_that_are_none_are_told(identity: Identity) -> None:
    good = identity.public
    assert good.is_valid()
    for changes in (
        {"signing_key": b"short"},
        {"sealing_key": b"short"},
        {"sealing_key": b"\xff" * 1216},
        {"sealing_key": good.sealing_key[:-32] + bytes(32)},
    ):
        bad = msgspec.structs.replace(good, **changes)
        assert not bad.is_valid()
        assert not msgspec.structs.replace(good, signing_key=b"short").verify(b"", b"", b"")
