"""The section `federation` of the settings: how the federation's own Kafka is reached, and what each side of it may do.

A retailer reads the connection and `participant`; whoever runs the coordinator reads the connection, `coordinator` and
`rounds`. What a round asks of participants travels in its signed plan, never through their settings.
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from contract.sections.kafka_connection import KafkaConnection
from contract.sections.section import FINGERPRINT, NAME, Seconds, Section

Mode = Literal["masked", "robust"]
Selection = Literal["random", "stratified", "reputation"]
PrivacyLevel = Literal["none", "client", "sample"]
CLIP_NORM_MIN, CLIP_NORM_MAX = 1e-6, 1e6
"""Of a round's plan, too: with a smaller one, noise and rounding would be all that is left of an update."""
WEIGHT_MIN, WEIGHT_MAX = 1e-6, 1e9
GATE_CONFIDENCE, PROVING_TRAININGS = 0.95, 2
"""Of a retailer's gate for global models, where nothing else is set; chosen on weeks before those of any benchmark
(docs/federation-benchmarks.md)."""


class PhaseTimes(Section):
    """How long a phase waits, and for how many: for everyone until `min_s`, then for the least number, and never beyond `max_s`."""

    min_s: float = Field(10.0, ge=0, le=31_536_000, description="until then all who may still answer are waited for")
    max_s: Seconds = Field(300.0, description="whoever has not answered by then is left out")

    count_min: int | None = Field(
        None,
        ge=2,
        le=10_000,
        description="this many must answer, where that is more than cohort_min; fedbuff has its buffer_size",
    )
    count_max: int | None = Field(
        None, ge=2, le=10_000, description="the phase is over when this many have answered; absent: cohort_max"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_s > self.max_s:
            raise ValueError("min_s must not be above max_s")
        if self.count_min is not None and self.count_max is not None and self.count_min > self.count_max:
            raise ValueError("count_min must not be above count_max")
        return self


class StrategySettings(Section):
    """How the mean update becomes the next global model."""

    name: Literal["fedavg", "fedprox", "fedadam", "fedyogi", "fedavgm", "fedbuff"] = Field(
        "fedavg", description="fedbuff needs mode robust: it uses single updates"
    )
    learning_rate: float = Field(1.0, gt=0, le=100, description="of the coordinator's step")
    momentum: float = Field(0.9, ge=0, lt=1, description="fedavgm")
    beta1: float = Field(0.9, ge=0, lt=1, description="fedadam, fedyogi")
    beta2: float = Field(0.99, ge=0, lt=1, description="fedadam, fedyogi")
    tau: float = Field(1e-3, gt=0, le=1, description="fedadam, fedyogi: least denominator")
    proximal_mu: float = Field(
        0.01, ge=0, le=10, description="fedprox: how strongly local weights are held to global ones"
    )
    buffer_size: int = Field(4, ge=2, le=1000, description="fedbuff: updates per step")
    staleness_max: int = Field(
        10, ge=1, le=100, description="fedbuff: an update that began more rounds ago does not count"
    )


class LocalTrainingSettings(Section):
    """What a plan asks of each participant's training."""

    epochs: int = Field(1, ge=1, le=100, description="passes over the participant's own examples")
    batch_size: int = Field(512, ge=1, le=65_536, description="examples per step")
    learning_rate: float = Field(5e-4, gt=0, le=10, description="of the local optimiser")
    prior_offset: bool = Field(
        True, description="the local loss adds the participant's own log prior odds to the logit; they never leave"
    )


class RobustSettings(Section):
    """Mode robust: how single updates are combined; norms are clipped and weights capped before."""

    rule: Literal["mean", "median", "trimmed_mean", "krum", "multi_krum", "geometric_median"] = Field(
        "geometric_median", description="how updates become one"
    )
    byzantine_max: int = Field(1, ge=0, le=1000, description="this many participants may lie without effect")
    weight_max: float = Field(0.5, gt=0, le=1, description="largest share of the total weight that one participant has")


class RoundPrivacySettings(Section):
    """Differential privacy, and the budget that no round may pass."""

    level: PrivacyLevel = Field("none", description="client: participants' whole updates; sample: single transactions")
    noise_multiplier: float = Field(
        1.0, gt=0, le=1000, description="standard deviation of the noise, in clipping norms"
    )
    delta: float = Field(1e-5, gt=0, lt=1, description="the δ that ε is stated at")
    epsilon_max: float = Field(10.0, gt=0, le=1000, description="a round that would pass it is refused before it runs")
    examples_min: int = Field(
        1_000,
        ge=1,
        le=1_000_000_000,
        description="sample: participants with fewer examples have no part; the cost is worked out for this many",
    )


class CompressionSettings(Section):
    """Mode robust: how updates are made small. Masked updates have the width of their ring."""

    bits: Literal[4, 8, 16, 32] = Field(32, description="per parameter; 32 is float32 as it is")
    zstd_level: int = Field(3, ge=0, le=19, description="how hard updates are compressed; 0: not at all")


class RoundSettings(Section):
    """What every round of the federation is like."""

    mode: Mode = Field("masked", description="masked: the coordinator sees sums only; robust: it sees single updates")
    cohort_min: int = Field(3, ge=2, le=10_000, description="a round needs this many participants to begin and to end")
    cohort_max: int = Field(32, ge=2, le=10_000, description="selected for one round at most")
    attempts_max: int = Field(3, ge=1, le=20, description="a failed round is tried again with new keys so often")
    pause_s: float = Field(0.0, ge=0, le=31_536_000, description="between two rounds")
    selection: Selection = Field("random", description="how a cohort is chosen from those approved")
    seed: int = Field(7, ge=0, lt=2**63, description="of the selection")
    keys: PhaseTimes = Field(
        default_factory=lambda: PhaseTimes(min_s=60.0, max_s=3_600.0),
        description="training and keys, in mode robust training and updates",
    )
    """Includes local training: a participant trains first, then sends its keys (mode robust: its update)."""
    shares: PhaseTimes = Field(default_factory=PhaseTimes, description="mode masked")
    updates: PhaseTimes = Field(default_factory=PhaseTimes, description="mode masked (robust has keys)")
    unmasking: PhaseTimes = Field(default_factory=PhaseTimes, description="mode masked")
    clip_norm: float = Field(
        10.0, ge=CLIP_NORM_MIN, le=CLIP_NORM_MAX, description="L2 norm that every update is clipped to, by its sender"
    )
    frauds_weight: float = Field(
        0.5,
        ge=0,
        le=1,
        description="a participant weighs by frauds for this part, by examples for the rest; with privacy all weigh the same",
    )
    weight_unit: float = Field(
        10_000.0, ge=WEIGHT_MIN, le=WEIGHT_MAX, description="examples (or 100 times frauds) that weigh 1 at most"
    )
    statistics: bool = Field(
        True,
        description="before the first training, a round sums up statistics of the inputs, where the model has room for them",
    )
    calibration_every: int = Field(
        1,
        ge=0,
        le=1_000_000,
        description="after this many trainings, and after the last one ordered, a round calibrates the model; 0: never",
    )
    cross_site_every: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="mode robust: after this many trainings, participants that are willing judge each other's models; 0: never",
    )
    training: LocalTrainingSettings = Field(default_factory=LocalTrainingSettings)
    strategy: StrategySettings = Field(default_factory=StrategySettings)
    robust: RobustSettings = Field(default_factory=RobustSettings)
    privacy: RoundPrivacySettings = Field(default_factory=RoundPrivacySettings)
    compression: CompressionSettings = Field(default_factory=CompressionSettings)

    @property
    def phases(self) -> dict[Literal["keys", "shares", "updates", "unmasking"], PhaseTimes]:
        """In the order of mode masked; mode robust has one stage, whose times and numbers are those of `keys`."""
        return {"keys": self.keys, "shares": self.shares, "updates": self.updates, "unmasking": self.unmasking}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.cohort_min > self.cohort_max:
            raise ValueError("cohort_min must not be above cohort_max")
        for name, phase in self.phases.items():
            if phase.count_max is not None and phase.count_max < self.cohort_min:
                raise ValueError(f"{name}.count_max must not be below cohort_min")
            if phase.count_min is not None and phase.count_min > self.cohort_max:
                raise ValueError(f"{name}.count_min must not be above cohort_max")
        if self.mode == "robust" and self.privacy.level == "client" and self.robust.rule != "mean":
            raise ValueError(
                "in mode robust, privacy level client needs rule mean: no other bounds what one participant moves"
            )
        if self.strategy.name == "fedbuff" and self.strategy.buffer_size > self.cohort_max:
            raise ValueError("strategy.buffer_size must not be above cohort_max")
        if self.mode == "masked" and self.strategy.name == "fedbuff":
            raise ValueError("strategy fedbuff needs mode robust")
        if self.cross_site_every and (self.mode == "masked" or self.privacy.level == "client"):
            raise ValueError(
                "cross_site_every shows single models: it needs mode robust, and no privacy at level client"
            )
        return self


class CoordinatorSettings(Section):
    """The coordinator's own keys and memory."""

    key_file: Path = Field(Path(".tillguard/federation/coordinator.key"), description="its keys, encrypted, mode 0600")
    passphrase_file: Path | None = Field(None, description="holds the passphrase of key_file; mode 0600")
    passphrase: SecretStr | None = Field(None, description="of key_file, where there is no passphrase_file")
    store_url: SecretStr = Field(
        SecretStr("sqlite:///.tillguard/federation/coordinator.db"), description="SQLAlchemy URL of its checkpoints"
    )
    model_file: Path = Field(
        Path(".tillguard/federation/model.npz"),
        description="the global model that the first round starts from: named float32 arrays",
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="port of /metrics on 127.0.0.1; absent: none; 0 chooses a free one and logs it",
    )
    evaluation_file: Path | None = Field(
        None,
        description="labelled examples (.npz) that nobody trains on: every round's model is measured on them, and in mode robust what each update adds; absent: neither",
    )
    enrolments_max: int = Field(1_000, ge=1, le=10_000, description="participants, with those that wait for approval")


class ParticipantSettings(Section):
    """What this retailer takes part in, and what it refuses."""

    key_file: Path = Field(Path(".tillguard/federation/participant.key"), description="its keys, encrypted, mode 0600")
    passphrase_file: Path | None = Field(None, description="holds the passphrase of key_file; mode 0600")
    passphrase: SecretStr | None = Field(None, description="of key_file, where there is no passphrase_file")
    store_url: SecretStr = Field(
        SecretStr("sqlite:///.tillguard/federation/participant.db"), description="SQLAlchemy URL of what it remembers"
    )
    coordinator_fingerprint: str | None = Field(
        None,
        pattern=FINGERPRINT,
        description="of the coordinator's keys, received by another way than Kafka; nothing else is believed",
    )
    allow_robust: bool = Field(
        False, description="true: in mode robust the update itself leaves, sealed to the coordinator"
    )
    cohort_min: int = Field(3, ge=2, le=10_000, description="rounds of fewer participants are refused")
    epsilon_max: float = Field(
        10.0, gt=0, le=1000, description="rounds that would pass it are refused, whatever the coordinator says"
    )
    delta_max: float = Field(
        1e-5, gt=0, lt=1, description="rounds whose ε is stated at a greater δ are refused: there any ε looks small"
    )
    require_privacy: bool = Field(False, description="true: rounds without differential privacy are refused")
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="port of /metrics on 127.0.0.1; absent: none; 0 chooses a free one and logs it",
    )
    share_metrics: bool = Field(
        False, description="true: the coordinator is told how a model does on this retailer's own labels"
    )
    cross_site: bool = Field(
        False,
        description="true: in mode robust others that say so too are sent this retailer's model, and the coordinator is told how theirs do on its newest labels",
    )
    gate_confidence: float = Field(
        GATE_CONFIDENCE,
        gt=0,
        lt=1,
        description="how sure it must be that the model that serves is better, for a global one to be turned down; lower is stricter with global ones",
    )
    proving_trainings: int = Field(
        PROVING_TRAININGS,
        ge=0,
        le=1_000_000,
        description="this many trainings long it is the other way round: a global model of that age must surely be better itself",
    )


class FederationSettings(KafkaConnection):
    """The federation's Kafka, and this process's side of it."""

    SECTION = "federation"

    name: str = Field("federation", pattern=NAME, description="first part of its topics")
    retention_days: float = Field(
        30.0, gt=0, le=36_500, description="control, updates and models; the audit ledger is kept forever"
    )
    participant: ParticipantSettings = Field(default_factory=ParticipantSettings)
    coordinator: CoordinatorSettings = Field(default_factory=CoordinatorSettings)
    rounds: RoundSettings = Field(default_factory=RoundSettings)
