"""Which purpose the next round has, and what a round that ended counts for. Pure.

Statistics come once, before the first training: what inputs are normalised by must stay while weights are learned on it. Only
trainings count among the rounds that an operator orders.
"""

import numpy as np

from contract.federation.fields import Purpose, Role
from contract.federation.settings import RoundSettings
from federation.coordinator.state import CoordinatorState
from federation.messages.global_weights import GlobalWeights
from federation.numeric.tensors import count_values, mark_places, read_vector


def choose_purpose(state: CoordinatorState, rounds: RoundSettings) -> Purpose | None:
    """Of the next attempt; None where nothing is to be done. A round that began keeps its purpose to its end."""
    purpose = state.purpose if state.begun else _next(state, rounds)
    # An order to pause stops everything but the calibration of what was learned.
    return None if state.rounds_wanted == 0 and purpose != "calibration" else purpose


def needs_calibration(state: CoordinatorState, rounds: RoundSettings) -> bool:
    """Whether the model of the training under way will be calibrated by the round after it."""
    return _calibration_is_due(state, rounds, trainings=state.uncalibrated + 1, wanted=max(state.rounds_wanted - 1, 0))


def end_round(state: CoordinatorState, purpose: Purpose, at_ms: int, *, published: bool) -> None:
    """The round ended, with a model or for good without one."""
    state.begun, state.attempt, state.ended_ms = False, 0, at_ms
    # A round of statistics counts when it fails, so that an order comes to an end.
    counts = purpose == "training" or (purpose == "statistics" and not published)
    state.rounds_wanted = max(state.rounds_wanted - counts, 0)
    if purpose == "calibration":
        state.uncalibrated = 0
    elif purpose == "training" and published:
        state.uncalibrated += 1
        state.unshown += 1


def is_measured(model: GlobalWeights, role: Role) -> bool:
    """Whether the model's arrays of this role hold anything; False where it has none."""
    vector = read_vector(model.payload, count_values(model.shapes))
    return bool(np.any(vector[mark_places(model.shapes, role)]))


def _next(state: CoordinatorState, rounds: RoundSettings) -> Purpose:
    if _calibration_is_due(state, rounds, trainings=state.uncalibrated, wanted=state.rounds_wanted):
        return "calibration"
    if rounds.statistics and _has(state.model, "statistics") and not is_measured(state.model, "statistics"):
        return "statistics"
    return "training"


def _calibration_is_due(state: CoordinatorState, rounds: RoundSettings, *, trainings: int, wanted: int) -> bool:
    if not rounds.calibration_every or not trainings or not _has(state.model, "calibration"):
        return False
    return trainings >= rounds.calibration_every or wanted == 0


def _has(model: GlobalWeights, role: Role) -> bool:
    return any(tensor.role == role for tensor in model.shapes)
