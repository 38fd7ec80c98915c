"""Feature rows of an older schema version, in the width of the present one. Pure.

A newer schema that only appends columns has the older one as its prefix; rows of the older one are then read with the new
columns missing (NaN). Whether it is a prefix shows in the hash that the row carries, so no list of versions is needed.
"""

import hashlib
from functools import cache

import numpy as np
from numpy.typing import NDArray

from contract.features import names, schema, schema_hash

BYTES = 4
"""Of a float32."""


@cache
def is_known(feature_schema: str, width: int) -> bool:
    """Whether `feature_schema` is the present schema, or a version of it whose `width` columns the present one begins with."""
    if feature_schema == schema_hash():
        return width == len(names())
    return 0 < width < len(names()) and feature_schema.partition("-")[2] == _prefix_digest(width)


def widened(values: bytes, feature_schema: str) -> NDArray[np.float32] | None:
    """The row, shape (F,), missing columns NaN; None where the schema is neither the present one nor a prefix of it."""
    if len(values) % BYTES or not is_known(feature_schema, len(values) // BYTES):
        return None
    row = np.full(len(names()), np.nan, dtype=np.float32)
    row[: len(values) // BYTES] = np.frombuffer(values, dtype="<f4")
    return row


def _prefix_digest(width: int) -> str:
    """The digest in contract.features.schema_hash, over the first `width` columns."""
    rows = "\n".join(f"{f.name}|{f.group}|{f.unit}|{f.buckets}" for f in schema()[:width])
    return hashlib.sha256(rows.encode()).hexdigest()[:12]
