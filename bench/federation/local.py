"""A participant's own training, in one place for whoever runs it: this product's federation, nobody, or another's.

Needs numpy, msgspec and pydantic only, so that an environment without the rest of the product can import it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.federation.messages import LocalTraining, PrivacyTerms
from federation.learning.learner import Arrays, Task
from federation.learning.numpy_learner import Data, fit, initialise_arrays

HIDDEN = (64, 32)
DROPOUT = 0.1
PLAN_SEED = 7
"""What a plan's seed is counted from, round by round: the setting's default."""


class Course(NamedTuple):
    """How banks learn."""

    rounds: int
    epochs: int
    """Of each round."""
    batch_size: int = 512
    learning_rate: float = 5e-4
    hidden: tuple[int, ...] = HIDDEN
    dropout: float = DROPOUT
    seed: int = 7


def start(features: int, course: Course) -> list[NDArray[np.float32]]:
    """The model that everyone begins with. For each layer weights (inputs, units) and a bias (units,), float32."""
    return initialise_arrays(features, course.hidden, course.seed)


def build_task(course: Course, base: Arrays, epochs: int, *, seed: int, prior_offset: bool = False) -> Task:
    """Training outside of this product's federation.

    `base`: for each layer weights (inputs, units) and a bias (units,).
    """
    return Task(
        round=0,
        attempt=0,
        base=base,
        training=LocalTraining(
            epochs=epochs,
            batch_size=course.batch_size,
            learning_rate=course.learning_rate,
            prior_offset=prior_offset,
            proximal_mu=0.0,
        ),
        privacy=PrivacyTerms(
            level="none", noise_multiplier=0.0, delta=1e-5, epsilon_before=0.0, epsilon_after=0.0, examples_min=1
        ),
        clip_norm=1.0,
        seed=seed,
    )


def train_bank(base: Arrays, own: Data, course: Course, bank: int, round_number: int) -> list[NDArray[np.float32]]:
    """What bank number `bank` makes of the global model `base` in a round; as its learner in this product's federation does.

    For each layer weights (inputs, units) and a bias (units,), float32.
    """
    task = build_task(course, base, course.epochs, seed=PLAN_SEED + round_number)
    return fit(base, own, task, course.seed + bank + task.seed, course.dropout)
