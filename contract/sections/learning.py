"""Settings of learning from what happens: the examples store, incremental training, the gate, privacy."""

from typing import Literal

from pydantic import Field, SecretStr

from contract.events import LabelSource
from contract.sections.section import Days, Seconds, Section


class PrivacySettings(Section):
    """Differential privacy of single examples in training (DP-SGD); it covers the network's weights."""

    enabled: bool = Field(False, description="clip every example's gradient and add noise; costs time and accuracy")
    clipping_norm: float = Field(1.0, gt=0, le=1e6, description="greatest L2 norm of one example's gradient")
    noise_multiplier: float = Field(
        1.0, gt=0, le=1e6, description="standard deviation of the noise, in clipping norms; more is more private"
    )
    delta: float = Field(1e-5, gt=0, lt=1, description="of (epsilon, delta); well below 1 / number of examples")


class LearningSettings(Section):
    """The part of the trainer's settings that concerns `tillguard trainer run`."""

    examples_url: SecretStr = Field(
        SecretStr("sqlite:///.tillguard/examples.db"),
        description="SQLAlchemy URL of the examples that `trainer run` learns from",
    )
    examples_max: int = Field(
        500_000, ge=1_000, le=20_000_000, description="examples kept; beyond it the oldest go, genuine ones first"
    )
    examples_days: Days = Field(180, description="genuine examples older than this are forgotten, by event_time")
    frauds_days: Days = Field(730, description="likewise for frauds, and for labels that no transaction came for")
    unlabelled_weight: float = Field(
        1.0,
        gt=0,
        le=1,
        description="weight of a transaction that counts as genuine only because no label came, against a confirmed one",
    )
    newest_examples: int = Field(
        60_000, ge=100, le=5_000_000, description="newest examples that a training takes in any case"
    )
    replay_examples: int = Field(
        40_000,
        ge=0,
        le=5_000_000,
        description="older examples besides, drawn evenly over label, time and fraud kind, so that nothing is unlearned",
    )
    train_every_labels: int = Field(500, ge=1, description="a training begins after this many new labels")
    train_every_minutes: float = Field(
        60.0, gt=0, le=525_600, description="or after so long, where at least one new label came"
    )
    training_s_max: Seconds = Field(600.0, description="a training stops learning after so long and takes what it has")
    imbalance: Literal["class_weights", "focal", "smote"] = Field(
        "class_weights", description="how rare frauds get their say: weights, focal loss, or synthetic frauds (SMOTE)"
    )
    focal_gamma: float = Field(2.0, ge=0, le=10, description="focal loss: how much easy examples are played down")
    privacy: PrivacySettings = Field(default_factory=PrivacySettings)
    trusted_sources: tuple[LabelSource, ...] = Field(
        ("chargeback", "analyst", "review", "step_up"),
        description="label sources that decide whether a new model is better; all sources are learned from",
    )
    trust_unlabelled: bool = Field(
        True, description="what got no label within label_delay_days counts as genuine in that decision, too"
    )
    disagreement_max: float = Field(
        0.03,
        ge=0,
        le=1,
        description="a source is not learned from where surely more of its labels than this are contradicted by trusted ones",
    )
    gate_confidence: float = Field(
        0.95, ge=0.5, lt=1, description="how sure it must be that a new model is better before it serves"
    )
    gate_frauds_min: int = Field(10, ge=2, description="frauds needed to compare a new model with the one that serves")
    web_host: str = Field("127.0.0.1", description="address of /health and /metrics; 0.0.0.0 in a container")
    web_port: int = Field(
        6067, ge=0, le=65535, description="port of /health and /metrics; 0 chooses a free one and logs it"
    )
