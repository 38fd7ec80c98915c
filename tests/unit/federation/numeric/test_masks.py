"""Streams of a key are the same wherever they are made, and masks that are added are taken away again."""

import hashlib

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from federation.numeric import masks
from federation.numeric.masks import RING_TYPES, Stream, add_masks

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))


def keystream(key: bytes, size: int) -> bytes:
    return Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor().update(bytes(size))


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_words_are_aes_in_counter_mode_least_byte_first_and_never_come_twice(bits: int) -> None:
    stream, size = Stream(KEY), bits // 8
    first, second = stream.draw_words(3, RING_TYPES[bits]), stream.draw_words(4, RING_TYPES[bits])
    told = keystream(KEY, 7 * size)
    expected = [int.from_bytes(told[at : at + size], "little") for at in range(0, len(told), size)]
    assert [*first.tolist(), *second.tolist()] == expected


def test_uniform_numbers_are_even_over_0_to_1() -> None:
    found = Stream(KEY).draw_uniform(100_000)
    assert 0 <= found.min() < 1e-3
    assert 0.999 < found.max() < 1
    assert np.histogram(found, 10, (0, 1))[0].min() > 9_500
    assert found[0] == int.from_bytes(keystream(KEY, 4), "little") / 2**32


@pytest.mark.parametrize("count", [1, 2, 7])
def test_as_many_normal_numbers_come_as_are_asked_for(count: int) -> None:
    assert len(Stream(KEY).draw_normal(count)) == count


def test_normal_numbers_have_mean_0_and_deviation_1_and_no_heavier_tails() -> None:
    found = Stream(KEY).draw_normal(200_001)
    assert found.mean() == pytest.approx(0, abs=0.01)
    assert found.std() == pytest.approx(1, rel=0.01)
    assert np.mean(found**4) == pytest.approx(3, rel=0.03)
    assert np.mean(np.abs(found) < 1) == pytest.approx(0.6827, abs=0.005)
    half = len(found) // 2
    assert abs(np.corrcoef(found[:half], found[half : 2 * half])[0, 1]) < 0.01
    assert (
        hashlib.sha256(Stream(KEY).draw_normal(9).tobytes()).digest()
        == hashlib.sha256(Stream(KEY).draw_normal(9).tobytes()).digest()
    )


@pytest.mark.parametrize("bits", [8, 32])
@pytest.mark.parametrize("block_bytes", [16, 256 * 1024])
def test_masks_are_added_and_taken_away_in_the_ring_whatever_the_block(
    monkeypatch: pytest.MonkeyPatch, bits: int, block_bytes: int
) -> None:
    monkeypatch.setattr(masks, "_BLOCK_BYTES", block_bytes)
    begin = np.arange(37, dtype=RING_TYPES[bits])
    total = begin.copy()
    add_masks(total, [KEY, OTHER], [])
    with np.errstate(over="ignore"):
        expected = begin + Stream(KEY).draw_words(37, begin.dtype) + Stream(OTHER).draw_words(37, begin.dtype)
    assert total.tolist() == expected.tolist()
    add_masks(total, [], [OTHER, KEY])
    assert total.tolist() == begin.tolist()
