"""Who somebody is in the federation: an ML-DSA-65 signing key and a hybrid sealing key, made where they are used.

The private half leaves memory only into its key file, encrypted (Argon2id, then ChaCha20-Poly1305) and for its owner's eyes
(mode 0600). It appears in no repr, log or error. This is the only file of the federation's core that touches a disk.
"""

import hashlib
import os
import secrets
import stat
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Never, Self

import msgspec
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from msgspec import Meta, Struct

from contract.federation.messages import Member
from federation.messages.sealing import SEED_BYTES, RandomBytes, SealingKey, derive, is_public_key, seal_to
from federation.refusals import KeyStoreError
from runtime import atomic_file

SIGNATURE_BYTES = 3309
SIGNING_PUBLIC_BYTES = 1952
PASSPHRASE_BYTES_MIN = 8
KEY_FILE_BYTES_MAX = 64 * 1024
_FINGERPRINT_DOMAIN = b"tillguard/federation/fingerprint/v1"
_STORE_DOMAIN = b"tillguard/federation/key-store/v1"


class PublicIdentity(Struct, frozen=True, kw_only=True):
    """The half that everyone may know: 1,952 bytes of ML-DSA-65 and 1,216 bytes of ML-KEM-768 + X25519."""

    name: str
    signing_key: bytes
    sealing_key: bytes

    @property
    def fingerprint(self) -> str:
        """SHA-256 of both keys, 64 hex digits: what people compare by telephone."""
        return hashlib.sha256(_FINGERPRINT_DOMAIN + self.signing_key + self.sealing_key).hexdigest()

    def is_valid(self) -> bool:
        """Whether both keys are keys: checked once, when somebody enrols."""
        try:
            _verifier(self.signing_key)
        except ValueError:
            return False
        return is_public_key(self.sealing_key)

    def verify(self, signature: bytes, data: bytes, domain: bytes) -> bool:
        """Whether `signature` was made over `data` for `domain` with this identity's key."""
        try:
            return _verified(self.signing_key, signature, data, domain)
        except (InvalidSignature, ValueError):
            return False

    def seal(self, text: bytes, info: bytes) -> bytes:
        """`text` for this identity alone, bound to `info`."""
        return seal_to(self.sealing_key, text, info)


@lru_cache(maxsize=4096)
def _verifier(key: bytes) -> MLDSA65PublicKey:
    if len(key) != SIGNING_PUBLIC_BYTES:
        raise ValueError(f"a signing key has {SIGNING_PUBLIC_BYTES} bytes")
    return MLDSA65PublicKey.from_public_bytes(key)


@lru_cache(maxsize=2048)
def _verified(key: bytes, signature: bytes, data: bytes, domain: bytes) -> bool:
    """True, or raises InvalidSignature, which is not kept: nobody can fill this with forgeries.

    The same signature is asked for again where participants share a process, and where a stage passes on what a reader has seen.
    """
    _verifier(key).verify(signature, data, domain)
    return True


class KeyCost(Struct, frozen=True, kw_only=True, array_like=True):
    """What trying one passphrase costs: Argon2id as RFC 9106 recommends it where memory is scarce. Bounded, since a file names it."""

    memory_kib: Annotated[int, Meta(ge=8 * 16, le=1024 * 1024)] = 64 * 1024
    iterations: Annotated[int, Meta(ge=1, le=16)] = 3
    lanes: Annotated[int, Meta(ge=1, le=16)] = 4


class _KeyFile(Struct, frozen=True, kw_only=True, array_like=True):
    format: Literal["tillguard-keys-1"] = "tillguard-keys-1"
    name: Annotated[str, Meta(max_length=100)]
    signing_key: bytes
    sealing_key: bytes
    cost: KeyCost
    salt: Annotated[bytes, Meta(min_length=16, max_length=16)]
    nonce: Annotated[bytes, Meta(min_length=12, max_length=12)]
    ciphertext: Annotated[bytes, Meta(max_length=256)]


def get_identity(member: Member) -> PublicIdentity:
    """The member's keys."""
    return PublicIdentity(name=member.name, signing_key=member.signing_key, sealing_key=member.sealing_key)


class Identity:
    """Both halves. Signs, and opens what was sealed to it."""

    __slots__ = ("_sealing", "_seeds", "_signing", "public")

    def __init__(self, name: str, seeds: bytes) -> None:
        if len(seeds) != 2 * SEED_BYTES:
            raise KeyStoreError("format", "an identity is made from two seeds of 32 bytes")
        self._seeds = seeds
        self._signing = MLDSA65PrivateKey.from_seed_bytes(seeds[:SEED_BYTES])
        self._sealing = SealingKey(seeds[SEED_BYTES:])
        self.public = PublicIdentity(
            name=name, signing_key=self._signing.public_key().public_bytes_raw(), sealing_key=self._sealing.public
        )

    def __repr__(self) -> str:
        return f"Identity({self.public.name!r}, {self.public.fingerprint[:16]})"

    def __reduce__(self) -> Never:
        raise TypeError("a private key is never pickled")

    @property
    def name(self) -> str:
        """As it stands on the roster."""
        return self.public.name

    @classmethod
    def generate(cls, name: str, random: RandomBytes = secrets.token_bytes) -> Self:
        """New keys; nobody else has ever seen them."""
        return cls(name, random(2 * SEED_BYTES))

    def sign(self, data: bytes, domain: bytes) -> bytes:
        """ML-DSA-65 over `data`, 3,309 bytes; `domain` (at most 255 bytes) keeps one purpose's signatures from another's."""
        return self._signing.sign(data, domain)

    def unseal(self, sealed: bytes, info: bytes) -> bytes | None:
        """What was sealed to this identity under the same `info`; None for anything else."""
        return self._sealing.unseal(sealed, info)

    def derive_secret(self, purpose: bytes) -> bytes:
        """32 bytes that only the holder of these keys can work out, the same again for the same purpose."""
        return derive(self._seeds, b"secret for", purpose)

    def save(
        self, path: Path, secret: bytes, *, cost: KeyCost | None = None, random: RandomBytes = secrets.token_bytes
    ) -> None:
        """Writes the key file of mode 0600, encrypted under `secret`, whole or not at all; never over another one."""
        _check_secret(secret)
        head = _KeyFile(
            name=self.name,
            signing_key=self.public.signing_key,
            sealing_key=self.public.sealing_key,
            cost=cost or KeyCost(),
            salt=random(16),
            nonce=random(12),
            ciphertext=b"",
        )
        ciphertext = _store_cipher(head, secret).encrypt(head.nonce, self._seeds, _store_context(head))
        _write_new(path, msgspec.msgpack.encode(msgspec.structs.replace(head, ciphertext=ciphertext)))

    @classmethod
    def load(cls, path: Path, secret: bytes) -> Self:
        """The identity in the file; raises KeyStoreError with what to do."""
        _check_secret(secret)
        stored = _read(path)
        try:
            seeds = _store_cipher(stored, secret).decrypt(stored.nonce, stored.ciphertext, _store_context(stored))
        except InvalidTag:
            raise KeyStoreError("passphrase", f"{path.name}: wrong passphrase, or the file was changed") from None
        return cls(stored.name, seeds)


def read_public(path: Path) -> PublicIdentity:
    """The public half in a key file, without its passphrase; unauthenticated, so for showing only."""
    stored = _read(path)
    return PublicIdentity(name=stored.name, signing_key=stored.signing_key, sealing_key=stored.sealing_key)


def read_secret(path: Path) -> bytes:
    """The passphrase or key that a file holds (a line break at its end does not count); the file must be for its owner alone."""
    return _read_private(path, KEY_FILE_BYTES_MAX).rstrip(b"\r\n")


def _check_secret(secret: bytes) -> None:
    if len(secret) < PASSPHRASE_BYTES_MIN:
        raise KeyStoreError("passphrase", f"a passphrase has at least {PASSPHRASE_BYTES_MIN} bytes")


def _store_context(stored: _KeyFile) -> bytes:
    """Everything in the file but the ciphertext: none of it can be changed unnoticed."""
    return _STORE_DOMAIN + msgspec.msgpack.encode(msgspec.structs.replace(stored, ciphertext=b""))


def _store_cipher(stored: _KeyFile, secret: bytes) -> ChaCha20Poly1305:
    cost = stored.cost
    try:
        derived = Argon2id(
            salt=stored.salt, length=32, iterations=cost.iterations, lanes=cost.lanes, memory_cost=cost.memory_kib
        ).derive(secret)
    except (ValueError, MemoryError):
        raise KeyStoreError("format", f"this machine cannot spend {cost.memory_kib} KiB on the passphrase") from None
    return ChaCha20Poly1305(derived)


def _read(path: Path) -> _KeyFile:
    try:
        return msgspec.msgpack.decode(_read_private(path, KEY_FILE_BYTES_MAX), type=_KeyFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise KeyStoreError("format", f"{path.name} is no key file, or damaged: restore it from its copy") from None


def _read_private(path: Path, bytes_max: int) -> bytes:
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise KeyStoreError("permissions", f"others may read {path.name}: chmod 600 it")
            data = file.read(bytes_max + 1)
    except FileNotFoundError:
        raise KeyStoreError("missing", f"{path.name} does not exist") from None
    except OSError as error:
        raise KeyStoreError("permissions", f"{path.name} cannot be read: {error.strerror}") from None
    if len(data) > bytes_max:
        raise KeyStoreError("format", f"{path.name} has more than {bytes_max} bytes")
    return data


def _write_new(path: Path, data: bytes) -> None:
    """A file of mode 0600 that appears whole; refused where one stands, whoever comes second."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with atomic_file.Staged({path: data}, mode=0o600) as staged:
            _name_new(staged, path)
    except OSError as error:
        raise KeyStoreError("permissions", f"{path.name} cannot be written: {error.strerror}") from None


def _name_new(staged: atomic_file.Staged, path: Path) -> None:
    try:
        staged.settle_new()
    except FileExistsError:
        raise KeyStoreError("exists", f"{path.name} holds keys already; move it away first") from None
