"""A model's arrays as one vector and back; every length, shape and value is checked before it is used. Pure."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contract.federation.fields import Role
from contract.federation.messages import RoundPlan, TensorShape
from federation.numeric.calibration import SUMMED
from federation.refusals import UpdateRefusedError

FLOAT32 = np.dtype("<f4")
PARAMETERS_MAX = 2**26
"""256 MiB of float32, what one message may hold."""


def find_role(name: str) -> Role:
    """Of an array in a file: its last part says it, as in `.../statistics`; else it holds weights."""
    last = name.rpartition("/")[2]
    return "statistics" if last == "statistics" else "calibration" if last == "calibration" else "weights"


def count_values(shapes: Sequence[TensorShape]) -> int:
    """How many numbers arrays of these shapes hold."""
    return sum(math.prod(tensor.shape) for tensor in shapes)


def mark_places(shapes: Sequence[TensorShape], role: Role) -> NDArray[np.bool_]:
    """Which of a model's numbers belong to arrays of this role, shape (count_values(shapes),)."""
    return np.repeat([tensor.role == role for tensor in shapes], [math.prod(tensor.shape) for tensor in shapes])


def count_summed(plan: RoundPlan) -> int:
    """How many numbers each participant gives to the plan's sum, its weight aside."""
    if plan.purpose == "calibration":
        return SUMMED
    role: Role = "statistics" if plan.purpose == "statistics" else "weights"
    return sum(math.prod(tensor.shape) for tensor in plan.shapes if tensor.role == role)


def has_clipped_count(plan: RoundPlan) -> bool:
    """Whether the plan's masked sum has a number for how many updates were cut; with privacy it has none, whatever the plan says."""
    return plan.counts_clipped and plan.mode == "masked" and plan.purpose == "training" and plan.privacy.level == "none"


def check_shapes(shapes: Sequence[TensorShape]) -> None:
    """Raises UpdateRefusedError(schema) for doubled names, empty arrays, and models that no message could carry."""
    if len({tensor.name for tensor in shapes}) != len(shapes):
        raise UpdateRefusedError("schema", "two arrays have one name")
    if not 1 <= count_values(shapes) <= PARAMETERS_MAX:
        raise UpdateRefusedError(
            "schema", f"{count_values(shapes)} parameters, at least 1 and at most {PARAMETERS_MAX}"
        )


def flatten(arrays: Sequence[NDArray[np.floating]]) -> NDArray[np.float32]:
    """All values in order, shape (n,)."""
    return np.concatenate([np.asarray(array, dtype=FLOAT32).ravel() for array in arrays])


def check_vector(vector: NDArray[np.floating], size: int) -> NDArray[np.float32]:
    """`vector` as float32; raises UpdateRefusedError(length | not_finite) unless it is of shape (size,) and finite.

    A value beyond float32's range becomes infinite, and so is refused.
    """
    if vector.shape != (size,):
        raise UpdateRefusedError("length", f"shape {vector.shape}, ({size},) is asked for")
    with np.errstate(over="ignore"):
        narrow = vector.astype(FLOAT32)
    if not np.isfinite(narrow).all():
        raise UpdateRefusedError("not_finite", "every value is finite")
    return narrow


def read_vector(payload: bytes, size: int) -> NDArray[np.float32]:
    """`size` finite values from float32 little-endian bytes; raises UpdateRefusedError(length | not_finite).

    The shape is (size,).
    """
    if len(payload) != size * FLOAT32.itemsize:
        raise UpdateRefusedError("length", f"{len(payload)} bytes, {size * FLOAT32.itemsize} are asked for")
    return check_vector(np.frombuffer(payload, dtype=FLOAT32), size)


def unflatten(shapes: Sequence[TensorShape], payload: bytes) -> list[NDArray[np.float32]]:
    """Arrays of `shapes` from float32 little-endian bytes; raises UpdateRefusedError(length | not_finite).

    The payload holds (count_values(shapes),) values.
    """
    return split_vector(shapes, read_vector(payload, count_values(shapes)))


def split_vector(shapes: Sequence[TensorShape], vector: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Views of `vector`, shape (n,), as arrays of `shapes`."""
    arrays, start = [], 0
    for tensor in shapes:
        size = math.prod(tensor.shape)
        arrays.append(vector[start : start + size].reshape(tensor.shape))
        start += size
    return arrays
