"""Hybrid post-quantum encryption to one reader: HPKE (RFC 9180) with X-Wing (ML-KEM-768 + X25519), HKDF-SHA256, ChaCha20-Poly1305.

A sealed text is single-shot: a fresh encapsulation each time. The library offers no associated data, so whatever a text
belongs to goes into `info`, and a text moved elsewhere does not open. HPKE says nothing about the sender: sign what is sealed.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Never

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from contract.errors import InvariantError

SEED_BYTES = 32
PUBLIC_BYTES = 1216
"""ML-KEM-768 (1,184), then X25519 (32), as X-Wing orders them."""
SEALED_OVERHEAD_BYTES = 1136
"""Encapsulation (1,088 + 32) and tag (16)."""
_MLKEM_PUBLIC_BYTES = 1184
_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)

RandomBytes = Callable[[int], bytes]
"""Gives this many unpredictable bytes: `secrets.token_bytes`; tests give a seeded one."""


class SealingKey:
    """The private half; made from a seed of 32 bytes as X-Wing says (draft-connolly-cfrg-xwing-kem): SHAKE-256 to 96 bytes."""

    __slots__ = ("_private", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise InvariantError(f"a sealing key's seed has {SEED_BYTES} bytes")
        expanded = hashlib.shake_256(seed).digest(96)
        lattice = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        curve = x25519.X25519PrivateKey.from_private_bytes(expanded[64:])
        self._private = hpke.MLKEM768X25519PrivateKey(lattice, curve)
        self.public = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"SealingKey(public {hashlib.sha256(self.public).hexdigest()[:16]})"

    def __reduce__(self) -> Never:
        raise TypeError("a private key is never pickled")

    def unseal(self, sealed: bytes, info: bytes) -> bytes | None:
        """The text sealed to this key under the same `info`; None for anything else, whatever the bytes."""
        try:
            return _SUITE.decrypt(sealed, self._private, info)
        except (InvalidTag, ValueError):
            return None


def seal_to(public: bytes, text: bytes, info: bytes) -> bytes:
    """`text` for the holder of `public` alone, bound to `info`; raises ValueError where `public` is no valid key."""
    return _SUITE.encrypt(text, _public_key(public), info)


@lru_cache(maxsize=4096)
def is_public_key(public: bytes) -> bool:
    """Whether something can be sealed to `public`: right length, ML-KEM coefficients in range, X25519 point not of low order."""
    try:
        seal_to(public, b"", b"")
    except ValueError:
        return False
    return True


def derive(secret: bytes, *context: bytes, length: int = SEED_BYTES) -> bytes:
    """HKDF-SHA256 (RFC 5869) of `secret` for one purpose; every part of `context` is prefixed by its length."""
    info = b"".join(len(part).to_bytes(4, "big") + part for part in context)
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=b"tillguard/federation/v1", info=info).derive(secret)


@lru_cache(maxsize=4096)
def _public_key(public: bytes) -> hpke.MLKEM768X25519PublicKey:
    if len(public) != PUBLIC_BYTES:
        raise ValueError(f"a sealing key has {PUBLIC_BYTES} bytes")
    return hpke.MLKEM768X25519PublicKey(
        mlkem.MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC_BYTES]),
        x25519.X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC_BYTES:]),
    )
