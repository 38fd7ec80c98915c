"""Mode robust: each update sealed to the coordinator, clipped and weighed, then combined by a rule that liars cannot move far. Pure.

With client-level privacy the coordinator adds the noise here, drawn from a secret of its own by round and attempt: a restarted
coordinator draws the same, so that one attempt never releases its sum twice under different noise.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contract.federation.fields import Stage
from contract.federation.messages import RoundPlan, StageOver, Update
from contract.federation.settings import FederationSettings
from federation.coordinator.attempt import read_closing
from federation.coordinator.collection import CLIP_RATE, Closing, Combined
from federation.messages.cross_site import Willing
from federation.messages.envelope import Opened
from federation.messages.identity import Identity
from federation.numeric import aggregation
from federation.numeric.compression import decompress
from federation.numeric.masks import Stream
from federation.numeric.strategies import compute_staleness_weight
from federation.numeric.tensors import count_summed
from federation.plan_parameters import compute_weight
from federation.privacy.accounting import compute_sensitivity
from federation.refusals import UpdateRefusedError

AT_BOUND = 0.999
"""Of the clipping norm: an update of so much was cut by its sender, as is agreed; quantisation may bring a few others there."""


class RobustCollection:
    """See federation.coordinator.collection.Collection. Holds one update of each member, as float32."""

    def __init__(self, settings: FederationSettings, identity: Identity, plan: RoundPlan) -> None:
        self._robust = settings.rounds.robust
        self._plan = plan
        self._size = count_summed(plan)
        self._noise_key = identity.derive_secret(f"noise/{settings.name}/{plan.round}/{plan.attempt}".encode())
        self._updates: dict[str, tuple[NDArray[np.float32], float]] = {}
        """Of each sender: the update and its weight."""
        self._members: tuple[str, ...] = ()
        self._willing: dict[str, bytes] = {}
        """Of those whose updates others may see: the sealing key."""

    def accept(self, stage: Stage, opened: Opened) -> None:  # noqa: ARG002 - there is one
        message = opened.message
        if not isinstance(message, Update) or opened.envelope.recipient is None:
            raise UpdateRefusedError("format", "an update is sealed to the coordinator")
        if message.frauds > message.examples or not all(map(np.isfinite, message.metrics.values())):
            raise UpdateRefusedError("not_finite", "fields examples, frauds and metrics do not fit")
        vector = decompress(message.payload, self._size, self._plan.bits)
        sender = opened.envelope.sender
        self._updates[sender] = (vector, compute_weight(self._plan, message.examples, message.frauds))
        if message.cross_site:
            self._willing[sender] = opened.sender.sealing_key

    def accept_late(self, opened: Opened, staleness: int) -> None:
        """FedBuff: an update that began `staleness` models ago pulls less, and does not make fresh ones pull more."""
        self.accept("updates", opened)
        vector, weight = self._updates[opened.envelope.sender]
        self._updates[opened.envelope.sender] = (vector * np.float32(compute_staleness_weight(staleness)), weight)
        self._willing.pop(opened.envelope.sender, None)  # it moved another base

    def make_closing(self, stage: Stage, members: Sequence[str]) -> Closing:
        objection = aggregation.describe_shortage(self._robust.rule, len(members), self._robust.byzantine_max)
        if objection:
            raise UpdateRefusedError("length", objection)
        return StageOver(stage=stage, members=tuple(members))

    def apply_closing(self, message: Closing) -> None:
        self._members = read_closing(message).members
        self._updates = {name: self._updates[name] for name in self._members}

    def combine(self, members: frozenset[str] | None = None) -> Combined:
        chosen = [name for name in self._members if members is None or name in members]
        if not chosen:
            raise UpdateRefusedError("length", "nobody's updates")
        rule = self._robust.rule
        if members is not None and aggregation.describe_shortage(rule, len(chosen), 0):
            rule = "mean"  # what so few would make of each other: the rule has no answer for them
        weights = np.array([self._updates[name][1] for name in chosen])
        result = aggregation.combine(
            rule,
            np.stack([self._updates[name][0] for name in chosen]),
            weights,
            clip_norm=self._plan.clip_norm,
            weight_max=self._robust.weight_max,
            byzantine_max=self._robust.byzantine_max if members is None else 0,
        )
        figures = {"capped": float(len(result.capped)), "used": float(len(result.used))}
        if members is None and self._plan.privacy.level != "client":  # no noise would hide these
            norms = [float(np.linalg.norm(self._updates[name][0])) for name in chosen]
            at_bound = sum(norm >= AT_BOUND * self._plan.clip_norm for norm in norms)
            figures |= {"clipped": float(len(result.clipped)), CLIP_RATE: at_bound / len(chosen)}
        return Combined(self._noised(result.update), float(weights.sum()), len(chosen), figures)

    def measure_agreement(self, update: NDArray[np.float64]) -> dict[str, float]:
        """The cosine of each member's own update with `update`, (d,); within [-1, 1], 0 where one of them is all 0."""
        length = float(np.linalg.norm(update))
        found = {}
        for name in self._members:
            own = self._updates[name][0].astype(np.float64)
            both = float(np.linalg.norm(own)) * length
            found[name] = float(own @ update) / both if both > 0 else 0.0
        return found

    def list_separable(self) -> tuple[str, ...]:
        return self._members

    def list_willing(self) -> dict[str, Willing]:
        chosen = [name for name in self._members if name in self._willing]
        if not chosen:
            return {}
        rows = np.stack([self._updates[name][0] for name in chosen]).astype(np.float64)
        clipped, _ = aggregation.clip_norms(rows, self._plan.clip_norm)
        return {name: Willing(row, self._willing[name]) for name, row in zip(chosen, clipped, strict=True)}

    def _noised(self, update: NDArray[np.float64]) -> NDArray[np.float64]:
        """With client-level privacy; everyone weighs the same there, so one of n moves the mean by clip_norm / n at most."""
        terms = self._plan.privacy
        if terms.level != "client":
            return update
        moved = compute_sensitivity(self._plan.clip_norm, 1.0) / self._plan.updates_min
        return update + terms.noise_multiplier * moved * Stream(self._noise_key).draw_normal(len(update))
