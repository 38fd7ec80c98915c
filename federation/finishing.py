"""From what was combined to the next global model, by the round's strategy; how it does, and who helped. Pure.

Deterministic: a restarted coordinator makes the same candidate of the same messages.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from contract.federation import Evaluated, RoundPlan
from contract.federation_settings import RoundSettings
from federation import reputation, strategies
from federation.attempt import Candidate
from federation.collection import Collection
from federation.coordinator_state import CoordinatorState
from federation.learner import Arrays
from federation.refusals import UpdateRefusedError
from federation.tensors import check_vector, read_vector, size_of, split_vector

CONTRIBUTION = "ap"
"""The figure that contributions are measured by, where the coordinator has data to measure on."""
EVALUATED_APART_MAX = 16
"""Contributions take one evaluation more than there are participants."""

Evaluate = Callable[[Arrays], dict[str, float]]


class StrategyFinishing:
    """See federation.coordinator.Finishing."""

    def __init__(self, settings: RoundSettings, evaluate: Evaluate | None = None) -> None:
        """`evaluate` measures a model on data that no participant trained on; None where the coordinator has none."""
        self._settings = settings
        self._evaluate = evaluate

    def candidate(self, state: CoordinatorState, plan: RoundPlan, collection: Collection) -> Candidate:
        combined = collection.combine()
        size = size_of(plan.shapes)
        base = read_vector(state.model.payload, size)
        memory = strategies.decode_state(state.optimiser, self._settings.strategy, size)
        moved, memory = strategies.step(self._settings.strategy, memory, base, combined.update)
        vector = check_vector(moved, size)
        metrics = self._figures(plan, vector) | combined.figures | {"moved": float(np.linalg.norm(vector - base))}
        if not all(map(math.isfinite, metrics.values())):
            raise UpdateRefusedError("not_finite", "the candidate cannot be evaluated")
        standing = reputation.punished(state.reputations, combined.blamed) if combined.blamed else state.reputations
        return Candidate(
            payload=vector.tobytes(),
            optimiser=strategies.encode_state(memory),
            combined=combined,
            reputations=self._reputations(standing, plan, collection, base),
            evaluated=Evaluated(model_version=state.model.version + 1, metrics=metrics),
        )

    def _figures(self, plan: RoundPlan, vector: NDArray[np.float32]) -> dict[str, float]:
        return {} if self._evaluate is None else self._evaluate(split_vector(plan.shapes, vector))

    def _reputations(
        self, before: dict[str, float], plan: RoundPlan, collection: Collection, base: NDArray[np.float32]
    ) -> dict[str, float]:
        """After what leaving each one out does to the model, where single updates are known and there is data."""
        names = collection.separable()
        if self._evaluate is None or not 2 <= len(names) <= EVALUATED_APART_MAX:
            return dict(before)

        def value(members: frozenset[str]) -> float:
            update = collection.combine(members).update if members else np.zeros(len(base))
            return self._figures(plan, check_vector(base + update, len(base))).get(CONTRIBUTION, math.nan)

        return reputation.updated(before, reputation.leave_one_out(value, names).parts)
