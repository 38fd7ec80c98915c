"""Feature rows of an older schema version, in the width of the present one. Pure.

A newer schema has the older one as its prefix; rows of the older one are read with the new columns missing (NaN).
"""

import numpy as np
from numpy.typing import NDArray

from contract.features import get_feature_names, get_schema_widths

BYTES = 4
"""Of a float32."""


def upgrade(values: bytes, feature_schema: str) -> NDArray[np.float32] | None:
    """The row, shape (F,), missing columns NaN; None where the schema is neither the present one nor a prefix of it."""
    if len(values) != BYTES * get_schema_widths().get(feature_schema, -1):
        return None
    row = np.full(len(get_feature_names()), np.nan, dtype=np.float32)
    row[: len(values) // BYTES] = np.frombuffer(values, dtype="<f4")
    return row
