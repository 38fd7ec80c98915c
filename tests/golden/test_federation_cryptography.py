"""How the federation uses its primitives, frozen: a change that both sides make alike passes every other test, and no old member."""

import hashlib
import json
import shutil
from pathlib import Path

import msgspec
import pytest

from contract.federation.messages import MaskedUpdate, MaskShares, Refusal, SurvivorList, encode_message
from federation.messages.envelope import Opened, seal, to_records
from federation.messages.identity import Identity
from federation.messages.inbox import Inbox
from federation.refusals import KeyStoreError
from federation.secagg.masked_sum import (
    PublicKeys,
    SealedPair,
    Transcript,
    commit_to,
    compute_transcript,
    derive_mask_key_seed,
)
from support.masking_round import Attempt, plan_for

HERE = Path(__file__).parent
KNOWN: dict[str, str] = json.loads((HERE / "federation-known-answers.json").read_text())
SEEDS = bytes(range(64))
SEED = bytes(range(100, 132))
PASSPHRASE = b"golden passphrase"
SHOP, COORDINATOR = Identity("shop", SEEDS), Identity("coordinator", bytes(range(64, 128)))
NOON_MS = 1_800_000_000_000
SHORT, LONG = Refusal(reason="data"), MaskedUpdate(payload=bytes(1_000_000))


def sha256(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def derived() -> dict[str, str]:
    """Each use of a primitive on fixed inputs."""
    keys = {name: PublicKeys(name.encode() * 608, name.encode() * 608, SEED) for name in ("p0", "p1", "p2")}
    bound: Transcript = compute_transcript(plan_for(3), keys)
    identity = Identity("shop", SEEDS)
    return {
        "transcript": bound.digest.hex(),
        "info": bound.make_info(b"shares", "p0", "p1").hex(),
        "self mask": bound.derive_self_mask(SEED, "p0").hex(),
        "pair mask": bound.derive_pair_mask(SEED, "p1", "p0").hex(),
        "pair seed": bound.derive_pair_seed(SEED, "p0", "p1").hex(),
        "share digest, self": bound.hash_share("p0", "p1", b"self", bytes(33)).hex(),
        "share digest, key": bound.hash_share("p0", "p1", b"key", bytes(33)).hex(),
        "mask key seed": derive_mask_key_seed(SEED).hex(),
        "commitment": commit_to(SEED).hex(),
        "signing key": sha256(identity.public.signing_key),
        "sealing key": sha256(identity.public.sealing_key),
        "fingerprint": identity.public.fingerprint,
        "secret for a purpose": identity.derive_secret(b"noise/shops/3/1").hex(),
    }


def digests_of(shares: MaskShares) -> bytes:
    pairs = [msgspec.msgpack.decode(share.sealed, type=SealedPair) for share in shares.shares]
    return b"".join(pair.self_digest + pair.key_digest for pair in pairs)


def whole_round() -> dict[str, str]:
    """All that six members say in one attempt in which the last is lost; of what is sealed, the digests of the shares."""
    attempt = Attempt()
    lists: SurvivorList = attempt.updates("p005")
    found = {"survivors": sha256(encode_message(lists))}
    for name in attempt.plan.cohort:
        found[f"{name} keys"] = sha256(encode_message(attempt.sent_keys[name]))
        found[f"{name} shares"] = sha256(digests_of(attempt.sent_shares[name]))
    for name in lists.survivors:
        answer = attempt.members[name].make_unmasking(lists)
        attempt.coordinator.take_unmasking(name, answer)
        found[f"{name} words"] = sha256(attempt.coordinator._updates[name])
        found[f"{name} unmasking"] = sha256(encode_message(answer))
    found["sum"] = sha256(attempt.coordinator.compute_result().words.tobytes())
    return {f"round: {name}": answer for name, answer in found.items()}


def test_every_use_of_a_primitive_gives_the_known_answer() -> None:
    assert derived() | whole_round() == KNOWN


def test_a_key_file_written_once_opens_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "shop.key"
    shutil.copyfile(HERE / "federation-v1" / "shop.key", path)
    path.chmod(0o600)
    identity = Identity.load(path, PASSPHRASE)
    assert identity.name == "shop"
    assert identity.public.fingerprint == KNOWN["fingerprint"]
    assert identity.derive_secret(b"noise/shops/3/1").hex() == KNOWN["secret for a purpose"]
    with pytest.raises(KeyStoreError):
        Identity.load(path, PASSPHRASE + b"!")


def records(message: Refusal | MaskedUpdate, *, sealed: bool) -> list[bytes]:
    """As the shop says it to the coordinator; signatures and what is sealed are other bytes each time."""
    reader = COORDINATOR.public if sealed else None
    signed = seal(
        message, SHOP, federation="shops", round_number=3, attempt=1, sent_at_ms=NOON_MS, epoch=2, reader=reader
    )
    return to_records(signed, SHOP)


def read(*found: bytes) -> list[Opened]:
    inbox = Inbox("shops", COORDINATOR)
    names = {"shop": SHOP.public}
    return [each for record in found for each in inbox.take(record, roster=names.get, now_ms=NOON_MS)]


@pytest.mark.parametrize("name", ["signed", "sealed"])
def test_a_record_signed_and_sealed_once_is_read_for_ever(name: str) -> None:
    (opened,) = read((HERE / "federation-v1" / f"record-{name}.bin").read_bytes())
    assert opened.message == SHORT
    assert (opened.envelope.round, opened.envelope.attempt, opened.envelope.epoch) == (3, 1, 2)


def test_a_long_message_announced_once_is_put_together_for_ever() -> None:
    """The announcement names the parts by their digests, so these are the same bytes for ever, too."""
    head = (HERE / "federation-v1" / "record-announcement.bin").read_bytes()
    (opened,) = read(head, *records(LONG, sealed=False)[1:])
    assert opened.message == LONG
