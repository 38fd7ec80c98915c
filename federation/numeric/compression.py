"""Updates made small: stochastic quantisation to 16, 8 or 4 bits with error feedback, then zstd. Pure.

Each block of parameters is scaled by its own largest value and rounded to a neighbour at random, so the mean stays right
(QSGD; Alistarh et al., NeurIPS 2017). What rounding took away is added to the sender's next update (error feedback; Seide et al.
2014, Karimireddy et al., ICML 2019). Unpacking allocates nothing before it has checked that the length is the one it expects.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
import zstandard
from numpy.typing import NDArray

from federation.numeric.masks import Stream
from federation.numeric.tensors import FLOAT32, check_vector
from federation.refusals import UpdateRefusedError

Bits = Literal[4, 8, 16, 32]
LEVEL = 3
"""zstd's own default."""
_RAW, _ZSTD = b"\x00", b"\x01"


class _Form(NamedTuple):
    """How a width is laid out."""

    steps: int
    """Values go from -steps to steps."""
    block: int
    """Parameters that share a scale: small where steps are coarse; 4 bytes each must not eat what the width saves."""


_FORMS = {16: _Form(32_767, 4_096), 8: _Form(127, 4_096), 4: _Form(7, 256)}


def count_raw_bytes(size: int, bits: Bits) -> int:
    """The length of `size` quantised parameters before zstd."""
    if bits == 32:
        return size * FLOAT32.itemsize
    blocks = -(-size // _FORMS[bits].block)
    return blocks * FLOAT32.itemsize + -(-size * bits // 8)


def compress(vector: NDArray[np.floating], bits: Bits, stream: Stream, *, zstd_level: int = LEVEL) -> bytes:
    """`vector` (shape (n,), finite) in `bits` per parameter; 32 keeps float32 as it is. `stream` throws the coins."""
    narrow = check_vector(vector, len(vector))
    raw = narrow.tobytes() if bits == 32 else _quantise(narrow, bits, stream)
    return pack(raw, zstd_level)


def decompress(data: bytes, size: int, bits: Bits) -> NDArray[np.float32]:
    """The `size` parameters in `data`; raises UpdateRefusedError(format | length | not_finite) for anything else.

    The result has the shape (size,).
    """
    if bits not in get_args(Bits):
        raise UpdateRefusedError("format", "4, 8, 16 or 32 bits")
    raw = unpack(data, count_raw_bytes(size, bits))
    if len(raw) != count_raw_bytes(size, bits):
        raise UpdateRefusedError("length", f"{len(raw)} bytes, {count_raw_bytes(size, bits)} are asked for")
    vector = np.frombuffer(raw, dtype=FLOAT32) if bits == 32 else _restore(raw, size, bits)
    return check_vector(vector, size)


class Compressed(NamedTuple):
    """What is sent, and what the sender keeps for its next update."""

    data: bytes
    residual: NDArray[np.float32]


def compress_with_feedback(
    update: NDArray[np.floating],
    residual: NDArray[np.floating] | None,
    bits: Bits,
    stream: Stream,
    *,
    zstd_level: int = LEVEL,
) -> Compressed:
    """`update` and what earlier ones still owe, compressed; keep the new residual only once the update was counted.

    `update`, `residual` and the new residual have the shape (n,).
    """
    wanted = np.asarray(update, dtype=np.float64)
    if residual is not None:
        if residual.shape != wanted.shape:
            raise UpdateRefusedError("length", "the residual is of another model")
        wanted = wanted + residual
    data = compress(wanted, bits, stream, zstd_level=zstd_level)
    sent = decompress(data, len(wanted), bits)
    return Compressed(data, check_vector(wanted - sent, len(wanted)))


def pack(raw: bytes, zstd_level: int = LEVEL) -> bytes:
    """`raw` by zstd where that makes it smaller, with a leading byte that says so; level 0: never."""
    if zstd_level:
        packed: bytes = zstandard.ZstdCompressor(level=zstd_level).compress(raw)
        if len(packed) < len(raw):
            return _ZSTD + packed
    return _RAW + raw


def unpack(data: bytes, bytes_max: int) -> bytes:
    """What `pack` was given; raises UpdateRefusedError(format | oversized) before more than `bytes_max` are allocated."""
    kind, content = data[:1], data[1:]
    if kind == _RAW:
        if len(content) > bytes_max:
            raise UpdateRefusedError("oversized", f"{len(content)} bytes, at most {bytes_max}")
        return content
    if kind != _ZSTD:
        raise UpdateRefusedError("format", "neither raw nor zstd")
    try:
        frame = zstandard.get_frame_parameters(content)
        # The frame names its size, and the library believes it: so it is checked first. Unknown sizes read as 2^64 - 1.
        if frame.content_size > bytes_max or frame.window_size > max(bytes_max, 1024):
            raise UpdateRefusedError("oversized", f"unpacks to more than {bytes_max} bytes")
        raw: bytes = zstandard.ZstdDecompressor().decompress(content, max_output_size=bytes_max, allow_extra_data=False)
    except zstandard.ZstdError:
        raise UpdateRefusedError("format", "not readable as zstd") from None
    return raw


def _quantise(vector: NDArray[np.float32], bits: int, stream: Stream) -> bytes:
    form = _FORMS[bits]
    padded = np.zeros(-(-len(vector) // form.block) * form.block, dtype=np.float64)
    padded[: len(vector)] = vector
    blocks = padded.reshape(-1, form.block)
    # A scale rounded down to float32 would push the largest value over the edge: clipped below.
    scales = (np.abs(blocks).max(axis=1) / form.steps).astype(FLOAT32)
    divisors = np.where(scales > 0, scales.astype(np.float64), 1.0)
    levels = blocks / divisors[:, np.newaxis]
    lower = np.floor(levels)
    lower += (stream.draw_uniform(len(padded)) < (levels - lower).ravel()).reshape(lower.shape)
    codes = (np.clip(lower, -form.steps, form.steps) + form.steps).astype(np.uint16).ravel()[: len(vector)]
    head: bytes = scales.tobytes()
    return head + _join(codes, bits)


def _restore(raw: bytes, size: int, bits: int) -> NDArray[np.float64]:
    form = _FORMS[bits]
    blocks = -(-size // form.block)
    scales = np.frombuffer(raw, dtype=FLOAT32, count=blocks)
    if not (np.isfinite(scales).all() and (scales >= 0).all()):
        raise UpdateRefusedError("not_finite", "every scale is finite and not negative")
    codes = _part(raw[blocks * FLOAT32.itemsize :], size, bits)
    if (codes > 2 * form.steps).any():
        raise UpdateRefusedError("format", "a code beyond the steps of its width")
    levels = codes.astype(np.float64) - form.steps
    return levels * np.repeat(scales.astype(np.float64), form.block)[:size]


def _join(codes: NDArray[np.uint16], bits: int) -> bytes:
    if bits == 16:
        return codes.astype("<u2").tobytes()
    narrow = codes.astype(np.uint8)
    if bits == 8:
        return narrow.tobytes()
    even = np.append(narrow, 0)[: len(narrow) + len(narrow) % 2]
    joined: bytes = (even[0::2] | (even[1::2] << 4)).astype(np.uint8).tobytes()
    return joined


def _part(data: bytes, size: int, bits: int) -> NDArray[np.unsignedinteger]:
    if bits == 16:
        return np.frombuffer(data, dtype="<u2")
    whole = np.frombuffer(data, dtype=np.uint8)
    if bits == 8:
        return whole
    return np.stack([whole & 15, whole >> 4], axis=1).ravel()[:size]
