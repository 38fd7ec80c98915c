"""What a model was trained on, small enough to keep next to it: the attachment `profile` that drift is measured against. Pure.

Bounded whatever the number of transactions, and without anything of a single one: shares, and quantiles interpolated between
deciles or percentiles, no minimum, no maximum of a feature.
"""

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from contract.errors import PackageRefusedError
from contract.features import get_schema, get_schema_hash
from contract.models import Thresholds
from trainer.drift import cbpe, psi

ATTACHMENT = "profile"
BYTES_MAX = 4 * 1024 * 1024
ROWS_MAX = 200_000
"""Rows that shares are measured on, evenly over time; more would change them by less than anybody looks at."""
SCORE_LEVELS = np.concatenate((np.linspace(0, 0.9, 46), np.linspace(0.905, 0.99, 18), np.linspace(0.991, 1, 10)))
"""Quantiles of the scores that are kept: finer where the frauds are."""
DIGITS = 7

Share = Annotated[float, Meta(ge=0, le=1)]


class FeatureProfile(Struct, frozen=True, kw_only=True):
    """One feature at training."""

    name: str
    missing: Share
    edges: list[float]
    """Inner edges of the bins, ascending; none for a category."""
    shares: list[Share]
    """Of what was not missing: one more than edges, or one for each bucket of a category."""
    buckets: int = 0


class Profile(Struct, frozen=True, kw_only=True):
    """A model's training, for comparison with what it sees later."""

    feature_schema: str
    rows: int
    """Transactions of the training slice."""
    features: list[FeatureProfile]
    score_rows: int
    """Transactions of the newest slice, never learned from, whose scores are described."""
    scores: list[Share]
    """Quantiles of the served scores at SCORE_LEVELS."""
    score_mean: Share
    performance: dict[str, float]
    """What trainer.drift.cbpe estimates from these scores at the model's thresholds."""


def build(
    features: NDArray[np.float32],
    scores: NDArray[np.float64],
    thresholds: Thresholds,
    *,
    weight: NDArray[np.float64] | None = None,
    score_weight: NDArray[np.float64] | None = None,
) -> Profile:
    """The profile of a training.

    Args:
        features: shape (n, F), n >= 1, of the training slice; may be a memory map.
        scores: shape (m,), m >= 1, as served, of the newest slice.
        thresholds: the model's.
        weight: of the training slice's rows, shape (n,): what makes them stand for the retailer's traffic; None: all 1.
        score_weight: of the newest slice's rows, shape (m,), likewise.
    """
    rows = np.linspace(0, len(features) - 1, min(len(features), ROWS_MAX)).round().astype(np.int64)
    kept = np.asarray(features[rows])
    heavy = np.ones(len(rows)) if weight is None else weight[rows]
    score_heavy = np.ones(len(scores)) if score_weight is None else score_weight
    points = psi.compute_quantiles(scores, score_heavy, SCORE_LEVELS)
    return Profile(
        feature_schema=get_schema_hash(),
        rows=len(features),
        features=[
            _feature(feature.name, kept[:, place], heavy, feature.buckets) for place, feature in enumerate(get_schema())
        ],
        score_rows=len(scores),
        scores=[round(float(point), DIGITS) for point in np.clip(points, 0, 1)],
        score_mean=round(float(np.average(scores, weights=score_heavy)), DIGITS),
        performance=cbpe.estimate(scores, thresholds, score_heavy),
    )


def encode(profile: Profile) -> bytes:
    """For the registry."""
    return msgspec.json.encode(profile)


def decode(data: bytes) -> Profile:
    """Raises PackageRefusedError for what is no profile, or one of other features than today's."""
    if len(data) > BYTES_MAX:
        raise PackageRefusedError("format", f"profile: {len(data)} bytes, at most {BYTES_MAX}")
    try:
        profile = msgspec.json.decode(data, type=Profile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PackageRefusedError("format", f"profile: {type(error).__name__}") from None
    if profile.feature_schema != get_schema_hash():
        raise PackageRefusedError(
            "feature_schema", f"profile: made for {profile.feature_schema[:64]}, now it is {get_schema_hash()}"
        )
    names = [feature.name for feature in get_schema()]
    whole = all(len(one.shares) == (one.buckets or len(one.edges) + 1) for one in profile.features)
    if [one.name for one in profile.features] != names or not whole or len(profile.scores) != len(SCORE_LEVELS):
        raise PackageRefusedError("format", "profile: features or scores are missing")
    return profile


def _feature(name: str, values: NDArray[np.float32], weight: NDArray[np.float64], buckets: int) -> FeatureProfile:
    known = ~np.isnan(values)
    # Binned by the rounded edges that are kept, so that the shares are those of these very bins.
    exact = [] if buckets else psi.compute_edges(values[known], weight[known])
    edges = sorted({float(f"{edge:.{DIGITS}g}") for edge in exact})
    missing, shares = psi.compute_shares(values, weight, edges, buckets)
    return FeatureProfile(
        name=name,
        missing=round(missing, DIGITS),
        edges=edges,
        shares=[round(share, DIGITS) for share in shares],
        buckets=buckets,
    )
