"""From what was combined to the next global model, by the round's strategy; and how it does on the coordinator's own data. Pure."""

from collections.abc import Callable

import numpy as np

from contract.federation import Evaluated, RoundPlan
from federation.attempt import Candidate
from federation.collection import Combined
from federation.coordinator_state import CoordinatorState
from federation.learner import Arrays
from federation.refusals import UpdateRefusedError
from federation.tensors import flatten, unflatten


class StrategyFinishing:
    def __init__(self, settings: object, evaluate: Callable[[Arrays], dict[str, float]] | None = None) -> None:
        self._evaluate = evaluate

    def candidate(self, state: CoordinatorState, plan: RoundPlan, combined: Combined) -> Candidate:
        base = flatten(unflatten(plan.shapes, state.model.payload)).astype(np.float64)
        payload = (base + combined.update).astype("<f4").tobytes()
        arrays = unflatten(plan.shapes, payload)
        metrics = self._evaluate(arrays) if self._evaluate else {}
        if not all(np.isfinite(list(metrics.values()))):
            raise UpdateRefusedError("not_finite", "the candidate cannot be evaluated")
        return Candidate(payload, b"", combined, Evaluated(model_version=state.model.version + 1, metrics=metrics))
