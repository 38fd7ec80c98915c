"""A network as bytes, to continue learning from: its weights, and the constants of its first layer. msgpack, never pickle.

Knows nothing of the network's form: constants are whatever fields trainer.model.preprocessing.Constants has, weights are Keras' list.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from contract.errors import TrainingRefusedError
from trainer.model.preprocessing import Constants

ATTACHMENT = "network"
"""Its name next to a package in the registry."""
FORMAT = 1
_DTYPES = ("<f4", "<f8", "<i4", "<i8", "|b1", "|u1", "|i1")
"""Numbers only: nothing in the bytes can name a class."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A trained network, whatever its form."""

    constants: Constants
    weights: list[NDArray[np.float32]]
    """As Keras' get_weights gives them."""


class _Array(msgspec.Struct, array_like=True, frozen=True):
    dtype: str
    shape: list[int]
    data: bytes


class _Packed(msgspec.Struct, frozen=True):
    format: int
    constants: Constants
    weights: list[_Array]


def dump(constants: Constants, weights: Sequence[NDArray[np.float32]]) -> bytes:
    """The same network always gives the same bytes.

    `weights`: for each layer weights (inputs, units) and biases (units,).
    """
    packed = _Packed(FORMAT, constants, [_packed(weight) for weight in weights])
    return msgspec.msgpack.encode(packed, enc_hook=_packed)


def load(data: bytes) -> Snapshot:
    """Raises TrainingRefusedError for bytes that are none, or were made by a version with other constants."""
    try:
        packed = msgspec.msgpack.decode(data, type=_Packed, dec_hook=_unpacked_as)
        if packed.format != FORMAT:
            raise TrainingRefusedError(f"the network to learn on from has format {packed.format}, known is {FORMAT}")
        return Snapshot(packed.constants, [_unpacked(weight) for weight in packed.weights])
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise TrainingRefusedError(f"the network to learn on from cannot be read: {type(error).__name__}") from None


def _packed(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray):
        raise NotImplementedError(f"constants of type {type(value).__name__} cannot be kept")
    plain = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
    if plain.dtype.str not in _DTYPES:
        raise NotImplementedError(f"arrays of {plain.dtype} cannot be kept")
    return _Array(plain.dtype.str, list(value.shape), plain.tobytes())


def _unpacked_as(_wanted: type, value: Any) -> NDArray[Any]:
    return _unpacked(msgspec.convert(value, _Array))


def _unpacked(array: _Array) -> NDArray[Any]:
    if array.dtype not in _DTYPES:
        raise ValueError("an array of no number")
    return np.frombuffer(array.data, dtype=np.dtype(array.dtype)).reshape(array.shape).copy()
