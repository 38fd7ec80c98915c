"""Training-serving skew: features as serving recorded them against a replay of the same transactions, float by float. Pure."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.features import get_feature_names, get_schema
from contract.windows import ENTITY_NAMES

Cause = Literal["content", "windows_shorter", "windows_longer", "windows", "frauds_later", "frauds_earlier", "frauds"]
"""Why a transaction differs, by what differs first: its own content, the windows, the known frauds; and in which direction."""

CONTENT_GROUPS = frozenset({"amount", "basket", "time", "account", "country", "kind"})
"""Features that need nothing but the transaction."""


class FeatureSkew(NamedTuple):
    """One feature that differs."""

    name: str
    transactions: int
    """In how many it differs."""
    largest: float
    """Of the absolute differences; infinite where one side is missing."""
    transaction_id: str
    """Of the largest difference."""
    served: float | None
    """There; None: missing."""
    replayed: float | None


class Skew(NamedTuple):
    """One comparison."""

    compared: int
    different: int
    """Transactions with at least one feature that differs."""
    features: list[FeatureSkew]
    """Those that differ, the most frequent first."""
    causes: dict[Cause, int]
    """Transactions by cause, the most frequent first."""
    risk_unseeded: bool
    """Serving knew of no fraud at all where the replay knew of some."""


def compare(transaction_ids: Sequence[str], served: NDArray[np.float32], replayed: NDArray[np.float32]) -> Skew:
    """Compares n transactions; both arrays have shape (n, F), in the order of the schema, NaN where a feature is missing."""
    differs = ~((served == replayed) | (np.isnan(served) & np.isnan(replayed)))
    rows = np.flatnonzero(differs.any(axis=1))
    features = [
        _feature(int(column), differs[:, column], transaction_ids, served, replayed)
        for column in np.flatnonzero(differs.any(axis=0))
    ]
    causes = Counter(_cause(differs[row], served[row], replayed[row]) for row in rows)
    return Skew(
        compared=len(transaction_ids),
        different=len(rows),
        features=sorted(features, key=lambda found: (-found.transactions, found.name)),
        causes=dict(causes.most_common()),
        risk_unseeded=not _total(served, _FRAUDS).any() and bool(_total(replayed, _FRAUDS).any()),
    )


def _feature(
    column: int,
    differs: NDArray[np.bool_],
    transaction_ids: Sequence[str],
    served: NDArray[np.float32],
    replayed: NDArray[np.float32],
) -> FeatureSkew:
    rows = np.flatnonzero(differs)
    distance = np.abs(served[rows, column].astype(np.float64) - replayed[rows, column])
    distance[np.isnan(distance)] = np.inf
    at = int(np.argmax(distance))
    row = int(rows[at])
    one, other = float(served[row, column]), float(replayed[row, column])
    return FeatureSkew(
        get_feature_names()[column],
        len(rows),
        float(distance[at]),
        transaction_ids[row],
        _present(one),
        _present(other),
    )


def _present(value: float) -> float | None:
    return None if np.isnan(value) else value


def _columns(wanted: Sequence[bool]) -> NDArray[np.intp]:
    return np.flatnonzero(np.array(wanted))


_CONTENT = _columns([feature.group in CONTENT_GROUPS for feature in get_schema()])
_RISK = _columns([feature.group == "risk" for feature in get_schema()])
_COUNTS = np.array([get_feature_names().index(f"{entity}_count_30d") for entity in ENTITY_NAMES])
_FRAUDS = np.array(
    [
        get_feature_names().index(f"{entity}_{name}")
        for entity in ENTITY_NAMES
        for name in ("frauds_30d", "frauds_early")
    ]
)


def _total(values: NDArray[np.float32], columns: NDArray[np.intp]) -> NDArray[np.float64]:
    total: NDArray[np.float64] = np.nansum(values[..., columns].astype(np.float64), axis=-1)
    return total


def _cause(differs: NDArray[np.bool_], served: NDArray[np.float32], replayed: NDArray[np.float32]) -> Cause:
    if differs[_CONTENT].any():
        return "content"
    if np.count_nonzero(differs) > np.count_nonzero(differs[_RISK]):
        more = float(_total(served, _COUNTS) - _total(replayed, _COUNTS))
        return "windows" if more == 0 else "windows_longer" if more > 0 else "windows_shorter"
    more = float(_total(served, _FRAUDS) - _total(replayed, _FRAUDS))
    return "frauds" if more == 0 else "frauds_earlier" if more > 0 else "frauds_later"
