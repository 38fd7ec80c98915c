"""Every topic: its name, key, message, partitions, clean-up and readers. Pure; creation is the composition root's."""

from dataclasses import dataclass

from msgspec import Struct

from contract.alarms import Alarm
from contract.dead_letters import DeadLetter
from contract.events import Label, Resolution, Transaction
from contract.features import FeatureRecord
from contract.models import ModelChallenge, ModelChunk, ModelPromotion, ShadowScore
from contract.risk import KnownOutcome
from contract.rules import RulesServing, RulesVersion
from contract.status.message import ProcessStatus
from contract.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Topic:
    """One kind of topic; every retailer has its own."""

    kind: str
    messages: tuple[type[Struct], ...]
    key: str
    text: str
    compacted: bool
    """Compacted topics can be erased key by key (`tillguard forget`); `retention` then still bounds their age."""
    retention_setting: str
    """Field of RetentionSettings, days; `forever` for topics that are compacted only."""
    scaled: bool = True
    """True: `kafka.partitions` partitions, spread over workers; False: one partition, read by everyone."""

    def name(self, retailer: str) -> str:
        """The topic's name at one retailer."""
        return f"{retailer}.{self.kind}.v1"


TRANSACTIONS = Topic(
    "transactions", (Transaction,), "transaction_id", "what connectors read, to be judged", True, "transactions_days"
)
VERDICTS = Topic(
    "verdicts", (Verdict,), "transaction_id", "the answers, read by checkout systems", True, "verdicts_days"
)
FEATURES = Topic(
    "features", (FeatureRecord,), "transaction_id", "what serving saw, read by the trainer", True, "features_days"
)
LABELS = Topic("labels", (Label,), "transaction_id", "what transactions turned out to be", True, "labels_days")
OUTCOMES = Topic(
    "outcomes", (KnownOutcome,), "transaction_id", "what became known of transactions, for the risk of their entities", True,
    "outcomes_days",
)  # fmt: skip
RESOLUTIONS = Topic(
    "resolutions", (Resolution,), "transaction_id", "step-up results and analysts' decisions", False, "resolutions_days"
)
DEAD_LETTERS = Topic(
    "dead-letters",
    (DeadLetter,),
    "transaction_id or row key",
    "what could not be used, and why",
    True,
    "dead_letters_days",
)
MODELS = Topic(
    "models", (ModelChunk, ModelPromotion, ModelChallenge), "model_version/index, `serving` or `challenger`",
    "model packages, promotions and challengers", True, "forever", scaled=False,
)  # fmt: skip
RULES = Topic(
    "rules", (RulesVersion, RulesServing), "rules_version or `serving`", "versions of the rules, and which one serves", True,
    "forever", scaled=False,
)  # fmt: skip
SHADOW_SCORES = Topic(
    "shadow-scores", (ShadowScore,), "transaction_id", "what a challenger would have said", True, "shadow_scores_days"
)
ALARMS = Topic(
    "alarms", (Alarm,), "alarm_id", "what a person should look at: breaker, drift, refused models", False, "alarms_days",
    scaled=False,
)  # fmt: skip
STATUS = Topic(
    "status", (ProcessStatus,), "part/process", "what every process says of itself, every few seconds", True, "status_days",
    scaled=False,
)  # fmt: skip
CONTROL = Topic(
    "control", (), "none", "keeps the Faust application of the librdkafka feed alive; carries nothing", False, "control_days",
    scaled=False,
)  # fmt: skip

TOPICS = (
    TRANSACTIONS,
    VERDICTS,
    FEATURES,
    LABELS,
    OUTCOMES,
    RESOLUTIONS,
    DEAD_LETTERS,
    MODELS,
    RULES,
    SHADOW_SCORES,
    ALARMS,
    STATUS,
    CONTROL,
)
