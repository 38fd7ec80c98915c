"""Small updates stay right on average, lose nothing for good, and nothing damaged is unpacked."""

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from federation.numeric.compression import (
    Bits,
    compress,
    compress_with_feedback,
    count_raw_bytes,
    decompress,
    pack,
    unpack,
)
from federation.numeric.masks import Stream
from federation.refusals import UpdateRefusedError

WIDTHS: tuple[Bits, ...] = (4, 8, 16, 32)
STEPS = {4: 7, 8: 127, 16: 32_767}


def stream(seed: int = 0) -> Stream:
    return Stream(seed.to_bytes(32, "big"))


@given(
    arrays(np.float32, st.integers(1, 600), elements=st.floats(-1e6, 1e6, width=32)),
    st.sampled_from(WIDTHS),
    st.integers(0, 22).filter(lambda level: level < 4),
)
def test_each_value_comes_back_within_a_step_of_its_block(vector: np.ndarray, bits: Bits, level: int) -> None:
    back = decompress(compress(vector, bits, stream(), zstd_level=level), len(vector), bits)
    if bits == 32:
        np.testing.assert_array_equal(back, vector)
        return
    size = {4: 256}.get(bits, 4_096)
    for start in range(0, len(vector), size):
        step = np.abs(vector[start : start + size]).max() / STEPS[bits]
        error = np.abs(back[start : start + size] - vector[start : start + size])
        assert error.max() <= step * 1.0001 + 1e-30


@pytest.mark.parametrize("bits", [4, 8])
def test_rounding_has_no_bias(bits: Bits) -> None:
    vector = np.tile(np.linspace(-1, 1, 64), 4)
    coins = stream(1)
    mean = np.mean([decompress(compress(vector, bits, coins), 256, bits) for _ in range(2_000)], axis=0)
    np.testing.assert_allclose(mean, vector, atol=5 / STEPS[bits] / np.sqrt(2_000))


@pytest.mark.parametrize(("bits", "share"), [(16, 0.502), (8, 0.251), (4, 0.141)])
def test_bytes_stay_below_their_promised_share_of_float32(bits: Bits, share: float) -> None:
    vector = np.random.default_rng(0).normal(size=1_000_000)
    data = compress(vector, bits, stream())
    assert len(data) <= share * 4 * len(vector)
    assert count_raw_bytes(len(vector), bits) <= share * 4 * len(vector)


@pytest.mark.parametrize("bits", [4, 8])
def test_with_feedback_what_rounding_takes_away_is_made_good(bits: Bits) -> None:
    generator, coins = np.random.default_rng(2), stream(2)
    update, total = generator.normal(size=500), np.zeros(500)
    sent = compress_with_feedback(update, None, bits, coins)
    for _ in range(49):
        total += decompress(sent.data, 500, bits)
        sent = compress_with_feedback(update, sent.residual, bits, coins)
    total += decompress(sent.data, 500, bits)
    # What is owed after 50 updates is one rounding, not fifty.
    np.testing.assert_allclose(total + sent.residual, 50 * update, atol=1e-3)
    assert np.abs(sent.residual).max() < 2 * np.abs(update).max() / STEPS[bits] * 2


def test_a_residual_of_another_model_is_refused() -> None:
    with pytest.raises(UpdateRefusedError, match="another model"):
        compress_with_feedback(np.zeros(3), np.zeros(2), 8, stream())


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_what_is_not_finite_as_float32_is_refused_before_it_is_sent(value: float) -> None:
    for bits in WIDTHS:
        with pytest.raises(UpdateRefusedError, match="not_finite"):
            compress(np.array([0.0, value]), bits, stream())


def test_a_small_message_cannot_unpack_to_a_large_one() -> None:
    bomb = b"\x01" + zstandard.ZstdCompressor().compress(bytes(50_000_000))
    assert len(bomb) < 10_000
    with pytest.raises(UpdateRefusedError, match="oversized"):
        unpack(bomb, 1_000_000)
    narrow = zstandard.ZstdCompressionParameters(window_log=10)
    with pytest.raises(UpdateRefusedError, match="oversized"):
        unpack(b"\x01" + zstandard.ZstdCompressor(compression_params=narrow).compress(bytes(50_000_000)), 1_000_000)
    unsized = b"\x01" + zstandard.ZstdCompressor(write_content_size=False).compress(bytes(50_000_000))
    with pytest.raises(UpdateRefusedError):
        unpack(unsized, 1_000_000)
    stream_of = zstandard.ZstdCompressor().compressobj()
    with pytest.raises(UpdateRefusedError):
        unpack(b"\x01" + stream_of.compress(bytes(5_000_000)) + stream_of.flush(), 1_000_000)
    with pytest.raises(UpdateRefusedError, match="oversized"):
        unpack(b"\x00" + bytes(11), 10)


def test_packing_never_makes_larger_by_more_than_a_byte() -> None:
    noise = np.random.default_rng(0).bytes(10_000)
    assert pack(noise) == b"\x00" + noise
    assert len(pack(bytes(10_000))) < 100
    assert unpack(pack(bytes(10_000)), 10_000) == bytes(10_000)


@given(st.binary(max_size=200), st.sampled_from(WIDTHS), st.integers(1, 60))
def test_arbitrary_bytes_are_refused_or_give_finite_values_of_the_right_length(
    data: bytes, bits: Bits, size: int
) -> None:
    try:
        vector = decompress(data, size, bits)
    except UpdateRefusedError:
        return
    assert vector.shape == (size,)
    assert np.isfinite(vector).all()


@pytest.mark.parametrize("bits", WIDTHS)
def test_damaged_updates_are_refused(bits: Bits) -> None:
    data = compress(np.ones(10), bits, stream(), zstd_level=0)
    for damaged in (data[:-1], data + b"\x00", b"", b"\x07" + data[1:], b"\x01" + data[1:]):
        with pytest.raises(UpdateRefusedError):
            decompress(damaged, 10, bits)
    with pytest.raises(UpdateRefusedError):
        decompress(data[:1] + np.array([np.nan], "<f4").tobytes() + data[5:], 10, bits)
    with pytest.raises(UpdateRefusedError):
        decompress(data, 10, 5)  # type: ignore[arg-type]


def test_codes_beyond_the_steps_are_refused() -> None:
    for bits in (4, 8, 16):
        scale = np.array([1.0], "<f4").tobytes()
        with pytest.raises(UpdateRefusedError, match="beyond the steps"):
            decompress(b"\x00" + scale + b"\xff" * (count_raw_bytes(2, bits) - 4), 2, bits)
