"""From what was combined to the next global model, by the round's purpose and strategy; how it does, and who helped. Pure.

Deterministic: a restarted coordinator makes the same candidate of the same messages.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from contract.federation.messages import Evaluated, RoundPlan
from contract.federation.settings import RoundSettings
from federation.coordinator import reputation
from federation.coordinator.attempt import Candidate
from federation.coordinator.collection import Collection, Combined
from federation.coordinator.state import CoordinatorState
from federation.learning.learner import Arrays
from federation.learning.metrics import AP
from federation.numeric import calibration, strategies
from federation.numeric.tensors import check_vector, count_values, mark_places, read_vector, split_vector
from federation.refusals import UpdateRefusedError

EVALUATED_APART_MAX = 16
"""Participants that are left out one by one: one evaluation more than there are of them."""
EVALUATIONS_MAX = 256
"""For the contributions of one round where there are more participants than that; enough for one order of 128 there and back."""

Evaluate = Callable[[Arrays], dict[str, float]]


class StrategyUpdate:
    """See federation.coordinator.coordinator.ServerUpdate."""

    def __init__(
        self,
        settings: RoundSettings,
        evaluate: Evaluate | None = None,
        *,
        evaluated_apart_max: int = EVALUATED_APART_MAX,
    ) -> None:
        """`evaluate` measures a model on data that no participant trained on; None where the coordinator has none.

        `evaluated_apart_max`: see EVALUATED_APART_MAX; 0: no model is evaluated for contributions at all.
        """
        self._settings = settings
        self._evaluate = evaluate
        self._evaluated_apart_max = evaluated_apart_max

    def make_candidate(self, state: CoordinatorState, plan: RoundPlan, collection: Collection) -> Candidate:
        combined = collection.combine()
        size = count_values(plan.shapes)
        base = read_vector(state.model.payload, size)
        if plan.purpose == "training":
            moved, optimiser = self._stepped(state, plan, base, combined)
        else:
            moved, optimiser = _summarised(plan, base, combined), state.optimiser
        vector = check_vector(moved, size)
        metrics = self._figures(plan, vector) | combined.figures | {"moved": float(np.linalg.norm(vector - base))}
        if not all(map(math.isfinite, metrics.values())):
            raise UpdateRefusedError("not_finite", "the candidate cannot be evaluated")
        standing = reputation.punish(state.reputations, combined.blamed) if combined.blamed else state.reputations
        contributions = self._contributions(plan, collection, base, combined)
        return Candidate(
            payload=vector.tobytes(),
            optimiser=optimiser,
            combined=combined,
            reputations=reputation.update_reputations(standing, contributions),
            contributions=contributions,
            evaluated=Evaluated(model_version=state.model.version + 1, metrics=metrics),
        )

    def _stepped(
        self, state: CoordinatorState, plan: RoundPlan, base: NDArray[np.float32], combined: Combined
    ) -> tuple[NDArray[np.float64], bytes]:
        """The model after the strategy's step, and what the strategy keeps; only arrays of weights are moved."""
        weights = mark_places(plan.shapes, "weights")
        memory = strategies.decode_state(state.optimiser, self._settings.strategy, int(weights.sum()))
        moved = base.astype(np.float64)
        moved[weights], memory = strategies.apply_step(self._settings.strategy, memory, base[weights], combined.update)
        return moved, strategies.encode_state(memory)

    def _figures(self, plan: RoundPlan, vector: NDArray[np.float32]) -> dict[str, float]:
        return {} if self._evaluate is None else self._evaluate(split_vector(plan.shapes, vector))

    def _contributions(
        self, plan: RoundPlan, collection: Collection, base: NDArray[np.float32], combined: Combined
    ) -> dict[str, float]:
        """What each one's update does to the model's average precision, where single updates are known and there is data.

        Of a few participants by leaving each one out, of more by truncated Shapley values within EVALUATIONS_MAX. Where there is
        no data, or there are more still, how far each one's update agrees with what the robust rule made of all: whoever
        pulls against it counts as harmful.
        """
        names, weights = collection.list_separable(), mark_places(plan.shapes, "weights")
        if plan.purpose != "training" or len(names) < 2:
            return {}
        apart = len(names) <= self._evaluated_apart_max
        orders = self._evaluated_apart_max > 0 and reputation.count_shapley_evaluations(len(names)) <= EVALUATIONS_MAX
        if self._evaluate is None or not (apart or orders):
            return collection.measure_agreement(combined.update)

        def value(members: frozenset[str]) -> float:
            moved = base.astype(np.float64)
            if members:
                moved[weights] += collection.combine(members).update
            return self._figures(plan, check_vector(moved, len(base))).get(AP, math.nan)

        found = (
            reputation.leave_one_out(value, names)
            if apart
            else reputation.estimate_shapley(value, names, evaluations_max=EVALUATIONS_MAX, seed=plan.seed)
        )
        return found.parts


def _summarised(plan: RoundPlan, base: NDArray[np.float32], combined: Combined) -> NDArray[np.float64]:
    """The model with the arrays of the round's purpose set by what was summed up."""
    mean = combined.update / plan.clip_norm
    moved = base.astype(np.float64)
    if plan.purpose == "statistics":
        moved[mark_places(plan.shapes, "statistics")] = mean
    else:
        places = mark_places(plan.shapes, "calibration")
        if places.sum() != calibration.PARAMETERS:
            raise UpdateRefusedError("schema", f"calibration has {calibration.PARAMETERS} numbers")
        moved[places] = calibration.fit(mean, combined.weight * plan.weight_unit)
    return moved
