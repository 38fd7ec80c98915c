"""What coordinator and participants tell each other. msgpack by msgspec; every length is bounded before a field is looked at.

Three topics are written by the coordinator alone (control, models, ledger), one by participants (updates); each has one
partition, so that each is one order. A message travels in an `Envelope`, signed as a whole; where it has one reader its
body is sealed to that reader. A message counts once by (round, attempt, sender, type), an order by its `order_id`. Times are
ms since 1970, UTC.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from contract.errors import InvalidEventError
from contract.federation.fields import (
    COHORT_MAX,
    EPSILON_MAX,
    MESSAGE_BYTES_MAX,
    NUMBER_MAX,
    SITES_MAX,
    Attempt,
    Count,
    Digest,
    Figures,
    Moment,
    Names,
    Number,
    OrderId,
    Payload,
    Purpose,
    Role,
    RoundNumber,
    SealingPublicKey,
    SenderName,
    SigningPublicKey,
    Stage,
    Text,
)
from contract.federation.frames import SignedEnvelope
from contract.federation.settings import CLIP_NORM_MAX, CLIP_NORM_MIN, WEIGHT_MAX, WEIGHT_MIN, Mode, PrivacyLevel


class TensorShape(Struct, frozen=True, kw_only=True):
    """One array of a model, by name and shape; values are float32."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    shape: Annotated[tuple[Annotated[int, Meta(ge=1, le=2**24)], ...], Meta(max_length=8)]
    role: Role = "weights"
    """statistics: what inputs are normalised by; calibration: slope, offset, log prior odds. All zero: not measured yet."""


Shapes = Annotated[tuple[TensorShape, ...], Meta(min_length=1, max_length=4_096)]


class Member(Struct, frozen=True, kw_only=True):
    """A participant on the roster, with the keys that its enrolment named."""

    name: SenderName
    signing_key: SigningPublicKey
    sealing_key: SealingPublicKey
    allow_robust: bool
    status: Literal["approved", "revoked", "left"]
    since_ms: Moment


class EnrolmentRequest(Struct, frozen=True, kw_only=True, tag="enrolment"):
    """A participant asks to take part; signed with the key it names. Operators approve it by fingerprint."""

    signing_key: SigningPublicKey
    sealing_key: SealingPublicKey
    allow_robust: bool


class Withdrawal(Struct, frozen=True, kw_only=True, tag="withdrawal"):
    """A participant leaves for good; rounds continue without it."""

    reason: Text = ""


class Order(Struct, frozen=True, kw_only=True, tag="order"):
    """What an operator asks of the coordinator, running or not: it stands on the log until it is carried out."""

    action: Literal["approve", "revoke", "run", "pause"]
    participant: SenderName | None = None
    fingerprint: Annotated[str, Meta(max_length=64)] | None = None
    """approve: must be that of the request, so that nobody else's keys are let in."""
    rounds: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """run: this many more."""
    order_id: OrderId | None = None
    """Drawn at random for each order: it counts once, and the ledger answers it by this name. None: of an earlier build."""


class Claim(Struct, frozen=True, kw_only=True, tag="claim"):
    """A coordinator has started: from here on only it speaks. `epoch` is one above every epoch on the log."""

    instance: Annotated[str, Meta(max_length=64)]
    signing_key: SigningPublicKey
    sealing_key: SealingPublicKey


class Roster(Struct, frozen=True, kw_only=True, tag="roster"):
    """Everyone who was ever approved; replaces the roster before."""

    version: Count
    members: Annotated[tuple[Member, ...], Meta(max_length=COHORT_MAX)]


class LocalTraining(Struct, frozen=True, kw_only=True):
    """What a participant's training is asked to do."""

    epochs: Annotated[int, Meta(ge=1, le=100)]
    batch_size: Annotated[int, Meta(ge=1, le=65_536)]
    learning_rate: Annotated[float, Meta(gt=0, le=10)]
    prior_offset: bool
    proximal_mu: Annotated[float, Meta(ge=0, le=10)]
    """0: none (FedProx otherwise)."""


class PrivacyTerms(Struct, frozen=True, kw_only=True):
    """What protects the round's release, and what it costs."""

    level: PrivacyLevel
    noise_multiplier: Annotated[float, Meta(ge=0, le=1000)]
    delta: Annotated[float, Meta(gt=0, lt=1)]
    epsilon_before: Annotated[float, Meta(ge=0, le=EPSILON_MAX)]
    epsilon_after: Annotated[float, Meta(ge=0, le=EPSILON_MAX)]
    """With this attempt; already in the ledger when the plan is sent."""
    examples_min: Annotated[int, Meta(ge=1, le=2**53)]
    """Level sample: a participant with fewer has no part, since the cost is worked out for this many."""


class MaskingTerms(Struct, frozen=True, kw_only=True):
    """Mode masked: the ring, the graph and the fixed point; chosen so that the sum cannot overflow."""

    ring_bits: Annotated[int, Meta(ge=8, le=64)]
    neighbours: Annotated[int, Meta(ge=1, le=COHORT_MAX)]
    threshold: Annotated[int, Meta(ge=1, le=COHORT_MAX)]
    """How many of the whole cohort must stay; members refuse another than they work out themselves."""
    scale: Annotated[float, Meta(gt=0, le=2.0**80)]
    """Fixed point: a value x travels as round(x * scale)."""


class RoundPlan(Struct, frozen=True, kw_only=True, tag="plan"):
    """A new attempt of a round. Its privacy spend stands in the ledger before it."""

    round: RoundNumber
    attempt: Attempt
    mode: Mode
    cohort: Names
    updates_min: Annotated[int, Meta(ge=1, le=COHORT_MAX)]
    base_version: Count
    """The global model that training starts from."""
    shapes: Shapes
    training: LocalTraining
    clip_norm: Annotated[float, Meta(ge=CLIP_NORM_MIN, le=CLIP_NORM_MAX)]
    frauds_weight: Annotated[float, Meta(ge=0, le=1)]
    weight_unit: Annotated[float, Meta(ge=WEIGHT_MIN, le=WEIGHT_MAX)]
    weight_max: Annotated[float, Meta(ge=WEIGHT_MIN, le=WEIGHT_MAX)]
    privacy: PrivacyTerms
    bits: Literal[4, 8, 16, 32]
    masking: MaskingTerms | None
    seed: Count
    roster_version: Count
    staleness_max: Annotated[int, Meta(ge=0, le=100)] = 0
    """FedBuff: an update that comes this many rounds late still counts, though less; 0: late is late."""
    purpose: Purpose = "training"
    zstd_level: Annotated[int, Meta(ge=0, le=19)] = 3
    """Mode robust: how hard updates are compressed; 0: not."""
    counts_clipped: bool = False
    """Mode masked, a training without privacy: one more number is summed up, of whether an update was cut at clip_norm."""


class Refusal(Struct, frozen=True, kw_only=True, tag="refusal"):
    """A participant takes no part in this attempt."""

    reason: Annotated[str, Meta(max_length=32)]  # a code of REFUSALS


class MaskKeys(Struct, frozen=True, kw_only=True, tag="keys"):
    """Stage 1 of masking: the participant has trained, and sends the public key it made for this attempt."""

    key: Annotated[bytes, Meta(min_length=32, max_length=4_096)]


class KeyList(Struct, frozen=True, kw_only=True, tag="key_list"):
    """Who continues, with each one's signed envelope of stage 1, so that nobody need believe the coordinator about keys."""

    envelopes: Annotated[tuple[SignedEnvelope, ...], Meta(max_length=COHORT_MAX)]


class SealedShare(Struct, frozen=True, kw_only=True, array_like=True):
    """One share, sealed to one neighbour."""

    recipient: SenderName
    sealed: Annotated[bytes, Meta(min_length=1, max_length=8_192)]


class MaskShares(Struct, frozen=True, kw_only=True, tag="shares"):
    """Stage 2: a share for every neighbour, each sealed to it; the coordinator only passes them on."""

    shares: Annotated[tuple[SealedShare, ...], Meta(max_length=COHORT_MAX)]


class ShareList(Struct, frozen=True, kw_only=True, tag="share_list"):
    """Who continues, with each one's signed envelope of stage 2."""

    envelopes: Annotated[tuple[SignedEnvelope, ...], Meta(max_length=COHORT_MAX)]


class MaskedUpdate(Struct, frozen=True, kw_only=True, tag="masked_update"):
    """Stage 3: the weighted update and the weight, in the ring, under masks."""

    payload: Payload
    """Little-endian words of the ring, one per parameter, then the weight's."""


class SurvivorList(Struct, frozen=True, kw_only=True, tag="survivors"):
    """Whose masked updates are in the sum, and who of those before is not."""

    survivors: Names
    dropped: Names


class Unmasking(Struct, frozen=True, kw_only=True, tag="unmasking"):
    """Stage 4: shares of survivors' self masks and of dropped participants' keys; never both of one."""

    survivors_shares: Annotated[dict[SenderName, Annotated[bytes, Meta(max_length=4_096)]], Meta(max_length=COHORT_MAX)]
    dropped_shares: Annotated[dict[SenderName, Annotated[bytes, Meta(max_length=4_096)]], Meta(max_length=COHORT_MAX)]


class Update(Struct, frozen=True, kw_only=True, tag="update"):
    """Mode robust: one participant's update, sealed to the coordinator."""

    payload: Payload
    """The update's tensors, quantised and compressed as the plan says."""
    examples: Count
    """With differential privacy 0, like the frauds: an exact count would tell what no noise covers."""
    frauds: Count
    metrics: Figures
    """Empty. How a model does on a retailer's own labels is told of what it took, where its settings let that leave."""
    cross_site: bool = False
    """The model that this update makes may be shown to others of whom the same holds; its sender judges theirs."""


class SiteModels(Struct, frozen=True, kw_only=True, tag="site_models"):
    """Mode robust: the models of participants that are willing, to be judged by one another. Topic control."""

    model_version: Count
    """Of the global model that their updates went into."""
    shapes: Shapes
    shown: Annotated[tuple[SenderName, ...], Meta(min_length=2, max_length=SITES_MAX)]
    keys: Annotated[tuple[SealedShare, ...], Meta(max_length=SITES_MAX)]
    """The key of `box`, sealed to each of them."""
    box: Payload
    """ChaCha20-Poly1305 of a tuple in msgpack, of one model for each name: float32, little-endian, arrays in the order of `shapes`."""


class SiteFigures(Struct, frozen=True, kw_only=True, tag="site_figures"):
    """How models that were shown to a participant do on its newest labelled examples."""

    model_version: Count
    figures: Annotated[dict[SenderName, Number], Meta(max_length=SITES_MAX)]
    """Average precision, by whose model."""


class Failure(Struct, frozen=True, kw_only=True, tag="failure"):
    """The attempt has ended without a model; its keys and masks are never used again."""

    reason: Text
    final: bool
    """True: the round is given up; false: another attempt follows."""


class GlobalModel(Struct, frozen=True, kw_only=True, tag="global_model"):
    """The next global model. Topic models."""

    model_version: Count
    base_version: Count
    shapes: Shapes
    payload: Payload
    """float32, little-endian, arrays in the order of `shapes`."""
    participants: Count
    """Whose updates are in it: this many, not who."""
    weight: Annotated[float, Meta(ge=0, le=NUMBER_MAX)]
    metrics: Figures
    purpose: Purpose = "training"
    """Of the round that made it."""
    calibration_follows: bool = False
    """The next round calibrates it: participants wait for that, or for word that it will not come."""
    trainings: Count = 0
    """Rounds of training behind it, from the first model on."""


class Adoption(Struct, frozen=True, kw_only=True, tag="adoption"):
    """What a participant did with a global model, and how it did on its own newest labels."""

    model_version: Count
    decision: Literal["local", "global", "blended", "fine_tuned"]
    metrics: Figures


class LedgerEntry(Struct, frozen=True, kw_only=True, tag="ledger"):
    """One link of the audit chain. Topic ledger, key = its index."""

    index: Count
    previous: Digest
    at_ms: Moment
    kind: Annotated[str, Meta(max_length=32)]
    round: RoundNumber
    attempt: Attempt
    content: Annotated[bytes, Meta(max_length=256 * 1024)]
    """JSON, so that an auditor can read it with any tool."""


class StageOver(Struct, frozen=True, kw_only=True, tag="stage_over"):
    """A stage that ends without a list of its own: robust updates, and unmasking."""

    stage: Stage
    members: Names


class Evaluated(Struct, frozen=True, kw_only=True, tag="evaluated"):
    """The attempt has a candidate for the next global model, and it passed the coordinator's checks."""

    model_version: Count
    metrics: Figures


class Published(Struct, frozen=True, kw_only=True, tag="published"):
    """The attempt has ended well: its model stands on topic models."""

    model_version: Count
    payload_sha256: Digest


class Halted(Struct, frozen=True, kw_only=True, tag="halted"):
    """No further round begins until an operator orders it; says why, with the numbers."""

    reason: Text


class Step(Struct, frozen=True, kw_only=True, tag="step"):
    """Where the coordinator's journal stands: written with every decision, so that a replay mixes both logs as they were."""

    updates_offset: Count
    """The next record of the updates topic that this decision did not see."""
    ledger_index: Count
    """The next entry of the ledger after those that belong to this decision."""


ParticipantMessage = (
    EnrolmentRequest | Withdrawal | Order | Refusal | MaskKeys | MaskShares | MaskedUpdate | Unmasking | Update | Adoption
    | SiteFigures
)  # fmt: skip
CoordinatorMessage = (
    Claim | Roster | RoundPlan | KeyList | ShareList | SurvivorList | StageOver | Evaluated | Published | Failure | Halted
    | GlobalModel | SiteModels | LedgerEntry | Step
)  # fmt: skip
Message = ParticipantMessage | CoordinatorMessage

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode_message(message: Struct) -> bytes:
    """`message` as msgpack; equal messages give equal bytes."""
    return _ENCODER.encode(message)


def decode_message(data: bytes) -> Message:
    """The message in `data`; raises InvalidEventError(malformed | oversized) for anything else, whatever the bytes."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise InvalidEventError("oversized", f"{len(data)} bytes, at most {MESSAGE_BYTES_MAX}")
    try:
        return _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InvalidEventError("malformed", _field_of(error)) from None


def _field_of(error: Exception) -> str:
    """Which field does not fit, as msgspec names it at the end of its message; never what the field holds."""
    _, found, place = str(error).rpartition(" - at `$.")
    return f"field {place.rstrip('`')}" if found else f"field body, {type(error).__name__}"


def get_type_name(message: Struct | type[Struct]) -> str:
    """The name of a message's type, as its envelope carries it."""
    return str((message if isinstance(message, type) else type(message)).__struct_config__.tag)
