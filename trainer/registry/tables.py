"""What the model registry keeps: its tables and the rows that the code reads. The migrations make the tables."""

from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

import sqlalchemy as sa

from contract.models import ChallengeMode, Manifest

PromotionKind = Literal["trained", "manual", "rollback", "pin"]
"""`trained`: a training put its model in service by itself; the others are a person's doing."""

METADATA = sa.MetaData()
MODELS = sa.Table(
    "models",
    METADATA,
    sa.Column("model_version", sa.String(128), primary_key=True),
    sa.Column("retailer", sa.String(48)),
    sa.Column("created_ms", sa.BigInteger),
    sa.Column("package_sha256", sa.String(64)),
    sa.Column("package_bytes", sa.BigInteger),
    sa.Column("manifest", sa.Text),
)
ATTACHMENTS = sa.Table(
    "attachments",
    METADATA,
    sa.Column("model_version", sa.String(128), primary_key=True),
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("sha256", sa.String(64)),
    sa.Column("bytes", sa.BigInteger),
)
PROMOTIONS = sa.Table(
    "promotions",
    METADATA,
    sa.Column("promotion_id", sa.Integer, primary_key=True),
    sa.Column("retailer", sa.String(48)),
    sa.Column("model_version", sa.String(128)),
    sa.Column("promoted_ms", sa.BigInteger),
    sa.Column("promoted_by", sa.String(128)),
    sa.Column("confirmed", sa.Boolean),
    sa.Column("kind", sa.String(16)),
    sa.Column("reason", sa.String(256)),
)
PINS = sa.Table(
    "pins",
    METADATA,
    sa.Column("pin_id", sa.Integer, primary_key=True),
    sa.Column("retailer", sa.String(48)),
    sa.Column("model_version", sa.String(128)),
    sa.Column("pinned_ms", sa.BigInteger),
    sa.Column("pinned_by", sa.String(128)),
    sa.Column("reason", sa.String(256)),
    sa.Column("released_ms", sa.BigInteger),
    sa.Column("released_by", sa.String(128)),
)
CHALLENGES = sa.Table(
    "challenges",
    METADATA,
    sa.Column("challenge_id", sa.Integer, primary_key=True),
    sa.Column("retailer", sa.String(48)),
    sa.Column("model_version", sa.String(128)),
    sa.Column("mode", sa.String(16)),
    sa.Column("share", sa.Float),
    sa.Column("decided_ms", sa.BigInteger),
    sa.Column("decided_by", sa.String(128)),
    sa.Column("confirmed", sa.Boolean),
)
ATTEMPTS = sa.Table(
    "attempts",
    METADATA,
    sa.Column("attempt_id", sa.Integer, primary_key=True),
    sa.Column("retailer", sa.String(48)),
    sa.Column("ended_ms", sa.BigInteger),
    sa.Column("outcome", sa.String(16)),
    sa.Column("reason", sa.String(512)),
    sa.Column("model_version", sa.String(128)),
    sa.Column("base", sa.String(128)),
    sa.Column("figures", sa.Text),
    sa.Column("source", sa.String(128)),
)


class Entry(NamedTuple):
    """One registered model."""

    manifest: Manifest
    package_sha256: str
    package_bytes: int
    file: Path


class Attachment(NamedTuple):
    """One file next to a package."""

    name: str
    sha256: str
    bytes: int
    file: Path


class Promotion(NamedTuple):
    """One model put in service, or meant to be."""

    model_version: str
    promoted_at: datetime
    promoted_by: str
    confirmed: bool
    """False: the process was stopped before Kafka confirmed it; promote the version again."""
    kind: str = "manual"
    """A PromotionKind."""
    reason: str = ""
    """Why, in words of who did it."""


class ServingRevision(NamedTuple):
    """How far a retailer's promotions have come: equal marks, nothing changed between."""

    newest: int | None
    """The number of the newest promotion, confirmed or not; None before the first."""
    serving: int | None
    """Of the newest confirmed one."""


class Pin(NamedTuple):
    """While a retailer is pinned, no training puts its model in service by itself."""

    model_version: str
    """What served, or was put in service with the pin."""
    pinned_at: datetime
    pinned_by: str
    reason: str


class Challenge(NamedTuple):
    """A model that runs next to the serving one, or meant to."""

    model_version: str | None
    """None: none does."""
    mode: ChallengeMode
    share: float
    decided_at: datetime
    decided_by: str
    confirmed: bool
    """False: the process was stopped before Kafka confirmed it; give the command again."""


class Tried(NamedTuple):
    """What became of one training."""

    ended_at: datetime
    outcome: str
    """published, registered, refused, pinned, thin or failed."""
    reason: str
    """In a sentence, with numbers."""
    model_version: str | None
    """What was trained; registered only where it was published or kept."""
    base: str | None
    figures: dict[str, float]
    """Of the gate's comparison and the seconds of each stage; empty where it did not come so far."""
    source: str = "examples store"
    """What it learned from: the examples store, or a file's name."""
