"""One attempt as the coordinator holds it: its plan, its state machine, and what was collected. Never stored. Pure."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from contract.federation.fields import Stage
from contract.federation.frames import Envelope, SignedEnvelope
from contract.federation.messages import (
    Evaluated,
    GlobalModel,
    KeyList,
    MaskedUpdate,
    MaskKeys,
    MaskShares,
    Message,
    Published,
    RoundPlan,
    ShareList,
    SurvivorList,
    Unmasking,
    Update,
)
from contract.federation.settings import Mode, PhaseTimes, RoundSettings
from federation.coordinator.collection import Closing, Collection, Combined
from federation.coordinator.rounds import RoundRules, RoundState, StageClosed, StageRules, begin
from federation.secagg.graph import COMPLETE_GRAPH, RING_GRAPH, is_complete

_STAGE_OF: dict[Mode, dict[type, Stage]] = {
    "masked": {MaskKeys: "keys", MaskShares: "shares", MaskedUpdate: "updates", Unmasking: "unmasking"},
    "robust": {Update: "updates"},
}
_ENVELOPES = msgspec.msgpack.Decoder(Envelope)


class Candidate(NamedTuple):
    """What may become the next global model."""

    payload: bytes
    optimiser: bytes
    combined: Combined
    reputations: dict[str, float]
    evaluated: Evaluated
    contributions: dict[str, float]
    """What each one's update did to the model, or how far it agrees with all; empty where single updates are not known."""


class Attempt:
    """Changed only by the coordinator, in the order of the logs."""

    def __init__(self, plan: RoundPlan, rules: RoundRules, collection: Collection, at_ms: int) -> None:
        self.plan = plan
        self.rules = rules
        self.collection = collection
        self.state: RoundState = begin(plan.round, plan.attempt, rules, plan.cohort, at_ms)
        self.refusals: dict[str, str] = {}
        """By participant: a code of REFUSALS."""
        self.received: dict[str, int] = {}
        """Bytes of the cohort's messages of rounds that counted while this was under way, by participant."""
        self.said: dict[tuple[str, str], bytes] = {}
        """By sender and type of message: the SHA-256 of the envelope that counted."""
        self.candidate: Candidate | None = None

    def find_stage(self, message: Message) -> Stage | None:
        """The stage that `message` answers in this mode, or None."""
        return _STAGE_OF[self.plan.mode].get(type(message))


CollectionMaker = Callable[[RoundPlan], Collection]


def build_rules(plan: RoundPlan, settings: RoundSettings) -> RoundRules:
    """When the plan's stages are over. A small cohort shares masks on a complete graph, where fewer have to stay."""
    stay = (0, 1) if plan.mode == "robust" else COMPLETE_GRAPH if is_complete(len(plan.cohort)) else RING_GRAPH
    # Robust updates come after local training, so they have the time that keys have in mode masked.
    phases: dict[Stage, PhaseTimes] = (
        {"updates": settings.keys} if plan.mode == "robust" else dict(settings.phases.items())
    )
    return RoundRules(plan.mode, {stage: _stage_rules(plan, settings, phase) for stage, phase in phases.items()}, stay)


def _stage_rules(plan: RoundPlan, settings: RoundSettings, phase: PhaseTimes) -> StageRules:
    """Never fewer than the plan promises its participants; a full buffer is a step, and nobody is waited for."""
    least, most = max(plan.updates_min, phase.count_min or 0), phase.count_max or settings.cohort_max
    if plan.staleness_max:
        least = most = plan.updates_min
    return StageRules(least, most, round(phase.min_s * 1000), round(phase.max_s * 1000))


def read_closing(message: Closing) -> StageClosed:
    """The decision that a message of the coordinator tells."""
    if isinstance(message, KeyList):
        return StageClosed("keys", _senders(message.envelopes))
    if isinstance(message, ShareList):
        return StageClosed("shares", _senders(message.envelopes))
    if isinstance(message, SurvivorList):
        return StageClosed("updates", message.survivors)
    return StageClosed(message.stage, message.members)


def _senders(envelopes: tuple[SignedEnvelope, ...]) -> tuple[str, ...]:
    return tuple(_ENVELOPES.decode(signed.envelope).sender for signed in envelopes)


def build_publication(
    plan: RoundPlan, candidate: Candidate, *, trainings: int, calibration: bool
) -> tuple[Published, GlobalModel]:
    """What is said of a round that ends well.

    `trainings`: rounds of training before this one; `calibration`: the next round calibrates its model.
    """
    version = candidate.evaluated.model_version
    model = GlobalModel(
        model_version=version,
        base_version=plan.base_version,
        shapes=plan.shapes,
        payload=candidate.payload,
        participants=candidate.combined.participants,
        weight=candidate.combined.weight,
        metrics=candidate.evaluated.metrics,
        purpose=plan.purpose,
        calibration_follows=calibration,
        trainings=trainings + (plan.purpose == "training"),
    )
    return Published(model_version=version, payload_sha256=hashlib.sha256(candidate.payload).digest()), model
