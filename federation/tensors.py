"""A model's arrays as one vector of bytes and back; every length and value is checked before it is used. Pure."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contract.federation import TensorShape
from federation.refusals import UpdateRefusedError

FLOAT32 = np.dtype("<f4")


def size_of(shapes: Sequence[TensorShape]) -> int:
    """How many numbers arrays of these shapes hold."""
    return sum(math.prod(tensor.shape) for tensor in shapes)


def flatten(arrays: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """All values in order, shape (n,)."""
    return np.concatenate([np.asarray(array, dtype=FLOAT32).ravel() for array in arrays])


def unflatten(shapes: Sequence[TensorShape], payload: bytes) -> list[NDArray[np.float32]]:
    """Arrays of `shapes` from float32 little-endian bytes; raises UpdateRefusedError(length | not_finite)."""
    if len(payload) != size_of(shapes) * FLOAT32.itemsize:
        raise UpdateRefusedError("length", f"{len(payload)} bytes, {size_of(shapes) * FLOAT32.itemsize} are asked for")
    values = np.frombuffer(payload, dtype=FLOAT32)
    if not np.isfinite(values).all():
        raise UpdateRefusedError("not_finite", "every value is finite")
    arrays, start = [], 0
    for tensor in shapes:
        size = math.prod(tensor.shape)
        arrays.append(values[start : start + size].reshape(tensor.shape))
        start += size
    return arrays
