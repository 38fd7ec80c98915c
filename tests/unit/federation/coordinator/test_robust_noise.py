"""Client-level privacy in mode robust: the coordinator adds the noise that its plan promises."""

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from contract.federation.messages import RoundPlan, TensorShape, Update
from contract.federation.settings import FederationSettings, RobustSettings, RoundSettings
from federation.coordinator.robust import RobustCollection
from federation.messages.identity import Identity
from federation.numeric.compression import compress
from federation.numeric.masks import Stream
from support.robust_round import opened, robust_plan

NAMES = ("alma", "berta", "carl", "dora")
SIZE = 40_000
NOISE = 3.0
BARE = robust_plan(cohort=NAMES, shapes=(TensorShape(name="w", shape=(SIZE,)),))
PLAN = replace(BARE, privacy=replace(BARE.privacy, level="client", noise_multiplier=NOISE, epsilon_after=1.0))
COORDINATOR = Identity("coordinator", bytes(range(64)))
SETTINGS = FederationSettings(rounds=RoundSettings(mode="robust", robust=RobustSettings(rule="mean")))


def combined(plan: RoundPlan) -> NDArray[np.float64]:
    """Of four updates, one of them far beyond the clipping norm."""
    collection = RobustCollection(SETTINGS, COORDINATOR, plan)
    for number, name in enumerate(NAMES):
        vector = np.full(SIZE, 1e3 if number == 0 else 1e-4, dtype=np.float32)
        message = Update(payload=compress(vector, 32, Stream(bytes(32))), examples=10 + number, frauds=1, metrics={})
        collection.accept("updates", opened(message, Identity(name, bytes(64)), plan))
    collection.apply_closing(collection.make_closing("updates", NAMES))
    return np.asarray(collection.combine().update)


def test_the_mean_gets_noise_for_what_one_of_the_least_number_can_move_it_by() -> None:
    noise = combined(PLAN) - combined(BARE)
    expected = NOISE * PLAN.clip_norm / PLAN.updates_min
    assert noise.std() == pytest.approx(expected, rel=4 / np.sqrt(2 * SIZE))
    assert abs(noise.mean()) < 4 * expected / np.sqrt(SIZE)


def test_another_attempt_has_other_noise_and_the_same_one_the_same() -> None:
    assert np.array_equal(combined(PLAN), combined(PLAN)), "a coordinator that is restarted makes the same model"
    other = combined(replace(PLAN, attempt=2)) - combined(PLAN)
    assert other.std() == pytest.approx(np.sqrt(2) * NOISE * PLAN.clip_norm / PLAN.updates_min, rel=0.03)
