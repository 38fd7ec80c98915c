"""Window updates for tests of the window store, and how to compare what stores answer."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.risk import list_side_names
from contract.windows import ENTITIES, ENTITY_NAMES, list_aggregate_names
from scoring.ports import WindowUpdate

START_MS = 1_790_000_000_000
"""2026-09-21T14:13:20Z, not at the start of any tile."""
NAMES = [
    f"{entity.name}.{name}"
    for names_of in (list_aggregate_names, list_side_names)
    for entity in ENTITIES
    for name in names_of(entity)
]


def window_update(
    transaction_id: str,
    t: int = 0,
    amount: int = 100,
    *,
    digest: bytes = b"digest-1",
    aliases: dict[str, str] | None = None,
    **entities: str,
) -> WindowUpdate:
    """One that names `entities`, `t` ms after START_MS."""
    return WindowUpdate(
        transaction_id,
        START_MS + t,
        amount,
        tuple(entities.get(name) for name in ENTITY_NAMES),
        None if aliases is None else tuple(aliases.get(name) for name in ENTITY_NAMES),
        digest,
    )


def column(name: str) -> int:
    """Where `entity.aggregate` stands in the matrix."""
    return NAMES.index(name)


def differences(actual: NDArray[Any], expected: NDArray[Any]) -> list[str]:
    """Every number that is not exactly equal, in words; missing equals missing."""
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    return [f"row {i}, {NAMES[j]}: {actual[i, j]} instead of {expected[i, j]}" for i, j in np.argwhere(~same)]
