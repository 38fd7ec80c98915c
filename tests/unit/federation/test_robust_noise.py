"""Client-level privacy in mode robust: the coordinator adds the noise that its plan promises."""

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from contract.federation import (
    Envelope,
    LocalTraining,
    PrivacyTerms,
    RoundPlan,
    SignedEnvelope,
    TensorShape,
    Update,
)
from contract.federation_settings import FederationSettings, RobustSettings, RoundSettings
from federation.compression import compress
from federation.envelope import Opened
from federation.identity import Identity
from federation.masks import Stream
from federation.robust import RobustCollection

NAMES = ("alma", "berta", "carl", "dora")
SIZE = 40_000
CLIP, NOISE, LEAST = 2.0, 3.0, 3
PLAN = RoundPlan(
    round=7, attempt=1, mode="robust", cohort=NAMES, updates_min=LEAST, base_version=6,
    shapes=(TensorShape(name="w", shape=(SIZE,)),),
    training=LocalTraining(epochs=1, batch_size=1, learning_rate=0.1, prior_offset=True, proximal_mu=0.0),
    clip_norm=CLIP, frauds_weight=0.5, weight_unit=1.0, weight_max=1.0,
    privacy=PrivacyTerms(
        level="client", noise_multiplier=NOISE, delta=1e-5, epsilon_before=0.0, epsilon_after=1.0, examples_min=1
    ),
    bits=32, masking=None, seed=1, roster_version=1,
)  # fmt: skip
COORDINATOR = Identity("coordinator", bytes(range(64)))
SETTINGS = FederationSettings(rounds=RoundSettings(mode="robust", robust=RobustSettings(rule="mean")))


def combined(plan: RoundPlan) -> NDArray[np.float64]:
    """Of four updates, one of them far beyond the clipping norm."""
    collection = RobustCollection(SETTINGS, COORDINATOR, plan)
    for number, name in enumerate(NAMES):
        vector = np.full(SIZE, 1e3 if number == 0 else 1e-4, dtype=np.float32)
        message = Update(payload=compress(vector, 32, Stream(bytes(32))), examples=10 + number, frauds=1, metrics={})
        envelope = Envelope(
            version=1, federation="federation", type="update", round=7, attempt=1, sender=name, recipient="coordinator",
            sent_at_ms=0, epoch=1, body=b"",
        )  # fmt: skip
        opened = Opened(envelope, message, COORDINATOR.public, SignedEnvelope(envelope=b"", signature=b""))
        collection.accept("updates", opened)
    collection.closed(collection.closing("updates", NAMES))
    return np.asarray(collection.combine().update)


def test_the_mean_gets_noise_for_what_one_of_the_least_number_can_move_it_by() -> None:
    bare = replace(PLAN, privacy=replace(PLAN.privacy, level="none", noise_multiplier=0.0))
    noise = combined(PLAN) - combined(bare)
    expected = NOISE * CLIP / LEAST
    assert noise.std() == pytest.approx(expected, rel=4 / np.sqrt(2 * SIZE))
    assert abs(noise.mean()) < 4 * expected / np.sqrt(SIZE)


def test_another_attempt_has_other_noise_and_the_same_one_the_same() -> None:
    assert np.array_equal(combined(PLAN), combined(PLAN)), "a coordinator that is restarted makes the same model"
    other = combined(replace(PLAN, attempt=2)) - combined(PLAN)
    assert other.std() == pytest.approx(np.sqrt(2) * NOISE * CLIP / LEAST, rel=0.03)
