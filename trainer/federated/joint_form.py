"""The first layer that all retailers of a federation have in common: from the feature schema, and from statistics of all of them. Pure.

Weights can only be added up where every input means the same everywhere. A retailer's own scales and steps come from its own
examples, and would tell of them. These come from each feature's unit, and once the federation has summed up statistics (under
masks, see trainer.federated.joint_statistics) from those: equal schemas and equal statistics give equal constants. The statistics are an
array of the common model, so that who joins later has them already.
"""

import math
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.features import Feature, get_schema, get_schema_hash
from contract.federation.fields import Role
from trainer.federated import joint_statistics
from trainer.federated.joint_statistics import Kind
from trainer.model.preprocessing import Constants

VERSION = 2
"""Of the rules below: models of another version are not added up."""
HOUR, DAY = 3_600.0, 86_400.0
WIDTH_SHARE, WIDTH_MIN = 0.02, 1e-3
"""A step rises over this share of its cut's size, as in trainer.model.binning."""
SCALING = 3
"""Numbers of the calibration (federation.numeric.calibration): slope, offset, log prior odds of pooled examples."""


class Tensor(NamedTuple):
    """One array of the network, in Keras' order."""

    name: str
    shape: tuple[int, ...]
    role: Role = "weights"


class Parted(NamedTuple):
    """A model's arrays by their role."""

    weights: list[NDArray[np.float32]]
    statistics: NDArray[np.float32]
    scaling: NDArray[np.float32]

    def join(self) -> list[NDArray[np.float32]]:
        """As `list_tensors` orders them.

        For each layer weights (inputs, units) and biases (units,); then the two vectors of the form. All float32.
        """
        return [*self.weights, self.statistics, self.scaling]


_MONEY = Kind(4.0, 0.7, (10, 20, 50, 100, 200, 500, 1_000), quantiles=(0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99))
_RATIO = Kind(0.7, 2.0, (0.25, 0.5, 1, 1.5, 2, 3, 5, 10))
_RATE = Kind(0.0, 10.0, (0.01, 0.05, 0.2))
_COUNT = Kind(0.0, 0.7, (0.5, 1.5, 3.5))
_SECONDS = Kind(10.0, 0.35, (60, 600, HOUR, 6 * HOUR, DAY, 7 * DAY))
_DAYS = Kind(2.0, 0.5, (1, 7, 30, 180))
_FLAG = Kind(0.0, 1.4, measured=False)
_ANGLE = Kind(0.0, 2.0, measured=False)
_NONE = Kind(0.0, 0.0, measured=False)
_UNITS = {
    "base currency, major units": _MONEY,
    "ratio": _RATIO,
    "count": _COUNT,
    "s": _SECONDS,
    "day": _DAYS,
    "0 or 1": _FLAG,
}
_WITHOUT_STEPS = ("_1m", "_10m", "_30d", "weekday")
"""Windows whose neighbours say the same at a cut."""


def find_kind(feature: Feature) -> Kind:
    """By its unit; a unit that is not known here gets no say."""
    if feature.buckets:
        return _NONE
    unit = feature.unit.partition(", in tiles")[0]
    if unit.endswith("hour angle"):
        return _ANGLE
    kind = _RATE if "_fraud_rate_" in feature.name else _UNITS.get(unit, _NONE)
    plain = feature.name.endswith(_WITHOUT_STEPS) or "_mean_" in feature.name
    return kind._replace(cuts=(), quantiles=()) if plain else kind


def list_kinds(table: Sequence[Feature] | None = None) -> list[Kind]:
    """Of every feature, in order."""
    return [find_kind(feature) for feature in (get_schema() if table is None else table)]


def build_constants(table: Sequence[Feature] | None = None, statistics: NDArray[np.float32] | None = None) -> Constants:
    """The same for the same table and statistics, on every machine; statistics that are all zero count as none."""
    table = get_schema() if table is None else table
    kinds = list_kinds(table)
    if statistics is not None and np.any(statistics):
        kinds = joint_statistics.adapt(kinds, statistics)
    steps = [(column, cut) for column, kind in enumerate(kinds) for cut in kind.cuts]
    at = np.array([cut for _, cut in steps], dtype=np.float64)
    width = np.maximum(WIDTH_SHARE * at, WIDTH_MIN)
    categories = [(column, bucket) for column, feature in enumerate(table) for bucket in range(feature.buckets)]
    return Constants(
        mean=np.array([kind.mean for kind in kinds], dtype=np.float32),
        scale=np.array([kind.scale for kind in kinds], dtype=np.float32),
        step_columns=np.array([column for column, _ in steps], dtype=np.int64),
        step_starts=(at - width / 2).astype(np.float32),
        step_slopes=(1.0 / width).astype(np.float32),
        missing=np.array([column for column, feature in enumerate(table) if _may_miss(feature)], dtype=np.int64),
        category_columns=np.array([column for column, _ in categories], dtype=np.int64),
        category_buckets=np.array([bucket for _, bucket in categories], dtype=np.float32),
    )


def list_tensors(hidden: Sequence[int], form: Constants | None = None) -> list[Tensor]:
    """The trainable arrays of trainer.model.network's network on this form, then what is summed up besides.

    Each name says which schema it is of, and which form before any statistics.
    """
    form = build_constants() if form is None else form
    mark = f"{get_schema_hash()[:16]}/{hash_form(form)[:16]}"
    found: list[Tensor] = []
    inputs = form.width
    for layer, units in enumerate((*hidden, 1)):
        found += [Tensor(f"{mark}/{layer}/kernel", (inputs, units)), Tensor(f"{mark}/{layer}/bias", (units,))]
        inputs = units
    summed = joint_statistics.count_numbers(list_kinds())
    return [
        *found,
        Tensor(f"{mark}/statistics", (summed,), "statistics"),
        Tensor(f"{mark}/calibration", (SCALING,), "calibration"),
    ]


def split_arrays(arrays: Sequence[NDArray[np.float32]]) -> Parted:
    """The arrays of a model, ordered as `list_tensors`.

    For each layer weights (inputs, units) and biases (units,); then the two vectors of the form. All float32.
    """
    return Parted(list(arrays[:-2]), arrays[-2], arrays[-1])


def initialise(hidden: Sequence[int], seed: int) -> list[NDArray[np.float32]]:
    """A network that has learned nothing: Glorot's uniform weights (2010), biases zero, nothing measured.

    For each layer weights (inputs, units) and biases (units,); then the two vectors of the form. All float32.
    """
    random = np.random.default_rng(seed)
    arrays: list[NDArray[np.float32]] = []
    for tensor in list_tensors(hidden):
        if len(tensor.shape) == 1:
            arrays.append(np.zeros(tensor.shape, np.float32))
        else:
            bound = math.sqrt(6 / sum(tensor.shape))
            arrays.append(random.uniform(-bound, bound, tensor.shape).astype(np.float32))
    return arrays


def hash_form(form: Constants) -> str:
    """SHA-256 of every number in it, 64 hex digits."""
    found = sha256(f"form {VERSION}".encode())
    for array in (getattr(form, name) for name in Constants.__slots__):
        found.update(f"{array.dtype.str}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _may_miss(feature: Feature) -> bool:
    """Columns of which it tells something that they are missing; a whole entity is missing or there, so one of its columns is enough."""
    unit = feature.unit.partition(", in tiles")[0]
    own = unit in {"ratio", "s", "day"} and "_fraud_rate_" not in feature.name and feature.name != "weekday"
    return own or feature.name.endswith("_count_1d") or feature.name.startswith("country_")
