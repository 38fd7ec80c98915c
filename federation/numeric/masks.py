"""Streams of unpredictable words from a key: masks, the coins of rounding, and noise. Pure.

The generator is AES-256 in counter mode (NIST SP 800-38A) under a key of 32 bytes that is used for one stream only. A
simulation's random generator would not do: whoever guesses its seed removes the masks.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

Words: TypeAlias = NDArray[np.unsignedinteger[Any]]
"""A vector in the ring of integers modulo 2^8, 2^16, 2^32 or 2^64, by its dtype; numpy wraps around as the ring does."""

RING_TYPES: dict[int, np.dtype[np.unsignedinteger[Any]]] = {
    8: np.dtype("<u1"),
    16: np.dtype("<u2"),
    32: np.dtype("<u4"),
    64: np.dtype("<u8"),
}
"""Little-endian wherever it runs."""
_BLOCK_BYTES = 256 * 1024
"""Generated and added at once: stays in a processor's cache."""


class Stream:
    """The bytes of one key, in order; never used again from its start."""

    __slots__ = ("_encryptor",)

    def __init__(self, key: bytes) -> None:
        self._encryptor = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()

    def draw_words(self, count: int, dtype: np.dtype[np.unsignedinteger[Any]]) -> Words:
        """`count` words, each value equally likely. The shape is (count,)."""
        return np.frombuffer(self._encryptor.update(bytes(count * dtype.itemsize)), dtype=dtype)

    def draw_uniform(self, count: int) -> NDArray[np.float64]:
        """`count` numbers, even over [0, 1), in steps of 2^-32. The shape is (count,)."""
        return self.draw_words(count, RING_TYPES[32]).astype(np.float64) * 2.0**-32

    def draw_normal(self, count: int) -> NDArray[np.float64]:
        """`count` standard normal numbers (Box and Muller 1958), from 64 and 32 random bits each pair: up to 9.4 sigma.

        The shape is (count,).
        """
        pairs = (count + 1) // 2
        # In (0, 1]: the logarithm is finite.
        radius = np.sqrt(-2.0 * np.log((self.draw_words(pairs, RING_TYPES[64]).astype(np.float64) + 1.0) * 2.0**-64))
        angle = 2.0 * np.pi * self.draw_uniform(pairs)
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]


def add_masks(total: Words, plus: Iterable[bytes], minus: Iterable[bytes]) -> None:
    """Adds the streams of the keys in `plus` to `total`, and takes those of `minus` away; in place, modulo the ring.

    `total`: words (n,).
    """
    streams = [(Stream(key), np.add) for key in plus] + [(Stream(key), np.subtract) for key in minus]
    block = _BLOCK_BYTES // total.dtype.itemsize
    for start in range(0, len(total), block):
        part = total[start : start + block]
        for stream, operation in streams:
            operation(part, stream.draw_words(len(part), total.dtype), out=part)
