"""The model package: one file that holds everything a worker needs to serve, and how it travels.

A package is an uncompressed zip of `manifest.json` and `model.onnx`. It goes over `<retailer>.models.v1` in chunks, so
that trainer and workers share no disk; a `ModelPromotion` on the same topic says which version serves.
"""

import os
from typing import Annotated, Literal

from msgspec import Meta, Struct

from contract.events import Identifier, Moment, RetailerName

MANIFEST_FILE = "manifest.json"
ONNX_FILE = "model.onnx"
PARITY_MAX = 1e-5
"""Largest absolute difference between Keras and ONNX that is published."""
CHUNK_BYTES = 256 * 1024
"""Below the usual broker limit of 1 MB even in base64."""
PACKAGE_BYTES_MAX = 64 * 1024 * 1024
"""A larger package is refused by the reader before it is put together."""
SCORE_DIGITS = 6
"""Scores are rounded to this many before anything is done with them, so that last-bit noise of float32 shows nowhere; thresholds too."""
INPUT_NAME = "features"
"""float32, shape (n, number of features), NaN = missing."""
OUTPUT_NAME = "score"
"""float32, shape (n, 1), calibrated probability of fraud."""
NO_FOLDER = ("session.model_external_initializers_file_folder_path", os.devnull)
"""ONNX Runtime's setting for where a graph's external data lie: nowhere, should a graph that names some ever get so far."""
PROMOTION_KEY = "serving"
"""Kafka key of promotions, so that compaction keeps the newest."""
CHALLENGE_KEY = "challenger"
"""Kafka key of challenges, likewise."""


class Thresholds(Struct, frozen=True, kw_only=True):
    """Score from which each decision applies, 0 <= flag <= hold <= block <= 1.000001 (above 1: never)."""

    flag: float
    hold: float
    block: float


class DataRange(Struct, frozen=True, kw_only=True):
    """What a model was trained on; times are event_time, UTC."""

    first: Moment
    last: Moment
    transactions: int
    frauds: int


class Manifest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything about a model but its weights."""

    model_version: Identifier
    retailer: RetailerName
    created_at: Moment
    feature_schema: str
    features: int
    onnx_sha256: str
    thresholds: Thresholds
    ordinary: list[float | None]
    """Per feature: the median of genuine transactions (null where mostly missing), put instead of a group to explain a score."""
    data: DataRange
    metrics: dict[str, float]
    """Measured on the newest, time-ordered slice that training did not see."""
    parity_max_abs_diff: float
    parameters: dict[str, str | int | float | bool]
    base: str | None = None
    """The version that training started from."""
    risk: bool | None = None
    """Whether the risk of entities (earlier frauds that were known) differed between the transactions it learned from; null: not told."""


class ModelChunk(Struct, frozen=True, kw_only=True, tag_field="type", tag="chunk"):
    """Part `index` of `count` of a package; key = `<model_version>/<index>`."""

    model_version: Identifier
    index: Annotated[int, Meta(ge=0, lt=1024)]
    count: Annotated[int, Meta(ge=1, le=1024)]
    package_sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    """Of the whole package."""
    data: bytes


class ModelPromotion(Struct, frozen=True, kw_only=True, tag_field="type", tag="promotion"):
    """From now on `model_version` serves. Key = PROMOTION_KEY."""

    model_version: Identifier
    package_sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    promoted_at: Moment
    promoted_by: Identifier


ChallengeMode = Literal["shadow", "canary"]


class ModelChallenge(Struct, frozen=True, kw_only=True, tag_field="type", tag="challenge"):
    """From now on `model_version` runs next to the serving model; null: none does. Key = CHALLENGE_KEY."""

    model_version: Identifier | None
    package_sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")] | None
    mode: ChallengeMode
    """`shadow`: it scores the same transactions after the answer has left. `canary`: it answers a share of customers as well."""
    share: Annotated[float, Meta(ge=0, le=1)]
    """Of customers that a canary answers, stable by hash; 0 in shadow mode."""
    decided_at: Moment
    decided_by: Identifier


ModelMessage = ModelChunk | ModelPromotion | ModelChallenge


class ShadowScore(Struct, frozen=True, kw_only=True):
    """What a challenger would have said, next to what the serving model did. Topic `<retailer>.shadow-scores.v1`, key = transaction_id."""

    transaction_id: Identifier
    retailer: RetailerName
    event_time: Moment
    model_version: Identifier
    """The challenger."""
    score: Annotated[float, Meta(ge=0, le=1)]
    decision: str
    """By the challenger's own thresholds alone, without rules and lists."""
    champion_version: Identifier
    """Of the model that answered."""
    champion_score: Annotated[float, Meta(ge=0, le=1)]
    champion_decision: str
    """By the answering model's thresholds alone, likewise."""
