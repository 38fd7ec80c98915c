"""Known answers of every primitive that the federation stands on, through the functions it calls."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from federation.messages.identity import SIGNATURE_BYTES, SIGNING_PUBLIC_BYTES, Identity, PublicIdentity
from federation.messages.sealing import PUBLIC_BYTES, SEALED_OVERHEAD_BYTES, SealingKey, derive, seal_to
from federation.numeric.masks import RING_TYPES, Stream

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("vectors.json").read_text())


def known(name: str) -> dict[str, bytes]:
    return {key: bytes.fromhex(value) for key, value in VECTORS[name].items() if isinstance(value, str)}


def test_a_sealing_key_is_x_wing_and_opens_hpke_as_published() -> None:
    vector = known("xwing")
    key = SealingKey(vector["skRm"])
    assert key.public == vector["pkRm"]
    assert len(key.public) == PUBLIC_BYTES
    # The published texts carry associated data, which the library does not offer: sealed again under the published key schedule.
    text = ChaCha20Poly1305(vector["key"]).encrypt(vector["base_nonce"], vector["pt"], b"")
    assert key.unseal(vector["enc"] + text, vector["info"]) == vector["pt"]
    assert key.unseal(vector["enc"] + text, vector["info"] + b"!") is None


def test_what_is_sealed_has_the_length_that_is_counted_with() -> None:
    key = SealingKey(bytes(32))
    assert len(seal_to(key.public, b"12345", b"")) == 5 + SEALED_OVERHEAD_BYTES


def test_a_signing_key_and_a_signature_are_ml_dsa_65_as_published() -> None:
    vector = known("ml_dsa_65")
    identity = Identity("a", vector["xi"] + bytes(32))
    assert identity.public.signing_key == vector["pk"]
    assert len(vector["pk"]) == SIGNING_PUBLIC_BYTES
    signature = vector["sm"][:SIGNATURE_BYTES]
    public = PublicIdentity(name="a", signing_key=vector["pk"], sealing_key=identity.public.sealing_key)
    assert public.verify(signature, vector["msg"], vector["ctx"])
    assert not public.verify(signature, vector["msg"] + b"!", vector["ctx"])
    assert not public.verify(signature, vector["msg"], vector["ctx"] + b"!")


def test_aes_256_in_counter_mode_as_published() -> None:
    vector = known("aes_256_ctr")
    cipher = Cipher(algorithms.AES256(vector["key"]), modes.CTR(vector["iv"]))
    assert cipher.encryptor().update(vector["plaintext"]) == vector["ciphertext"]


def test_a_stream_is_the_encryption_of_a_counter_from_zero() -> None:
    key = bytes(range(32))
    blocks = (
        Cipher(algorithms.AES256(key), modes.ECB())
        .encryptor()
        .update(b"".join(n.to_bytes(16, "big") for n in range(8)))
    )
    words = Stream(key).draw_words(32, RING_TYPES[32])
    assert words.tobytes() == blocks
    assert words[0] == int.from_bytes(blocks[:4], "little")


def test_hkdf_sha256_as_published_and_derive_is_it() -> None:
    vector = known("hkdf_sha256")
    hkdf = HKDF(algorithm=hashes.SHA256(), length=42, salt=vector["salt"], info=vector["info"])
    assert hkdf.derive(vector["ikm"]) == vector["okm"]
    framed = b"\x00\x00\x00\x01a\x00\x00\x00\x02bc"
    same = HKDF(algorithm=hashes.SHA256(), length=32, salt=b"tillguard/federation/v1", info=framed)
    assert derive(b"s" * 32, b"a", b"bc") == same.derive(b"s" * 32)
    assert derive(b"s" * 32, b"ab", b"c") != derive(b"s" * 32, b"a", b"bc")


def test_argon2id_as_published() -> None:
    vector = VECTORS["argon2id"]
    argon = Argon2id(
        salt=bytes.fromhex(vector["salt"]),
        length=vector["length"],
        iterations=vector["iterations"],
        lanes=vector["lanes"],
        memory_cost=vector["memory_kib"],
    )
    assert argon.derive(bytes.fromhex(vector["password"])).hex() == vector["output"]


def test_chacha20_poly1305_as_published() -> None:
    vector = known("chacha20_poly1305")
    sealed = ChaCha20Poly1305(vector["key"]).encrypt(vector["iv"], vector["plaintext"], vector["aad"])
    assert sealed == vector["ciphertext"] + vector["tag"]


def test_a_stream_s_numbers_are_those_of_a_normal_and_of_an_even_distribution() -> None:
    normal = Stream(b"n" * 32).draw_normal(200_001)
    assert normal.shape == (200_001,)
    assert abs(normal.mean()) < 0.01
    assert abs(normal.std() - 1) < 0.01
    assert abs(float(np.mean(normal**4)) - 3) < 0.1
    uniform = Stream(b"u" * 32).draw_uniform(200_000)
    assert 0 <= uniform.min() < uniform.max() < 1
    counts = np.bincount((uniform * 50).astype(int), minlength=50)
    assert ((counts - 4_000) ** 2 / 4_000).sum() < 90  # chi-square, 49 degrees: 0.0003


@pytest.mark.parametrize("bits", RING_TYPES)
def test_every_value_of_a_word_comes_equally_often(bits: int) -> None:
    words = Stream(b"w" * 32).draw_words(64_000, RING_TYPES[bits])
    counts = np.bincount((words >> np.asarray(bits - 6, words.dtype)).astype(int), minlength=64)
    assert ((counts - 1_000) ** 2 / 1_000).sum() < 110  # chi-square, 63 degrees: 0.0003
