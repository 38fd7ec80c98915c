"""What the federation needs of local learning. Knows no TensorFlow, no feature, no transaction."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from contract.errors import TillguardError
from contract.federation.fields import Purpose
from contract.federation.messages import LocalTraining, PrivacyTerms, RoundPlan

Arrays = Sequence[NDArray[np.float32]]
"""A model's arrays, in the order of the plan's shapes."""
Choice = Literal["local", "global", "blended", "fine_tuned"]


class Task(NamedTuple):
    """What one attempt asks of local training."""

    round: int
    attempt: int
    base: Arrays
    """The global model to start from; not to be changed."""
    training: LocalTraining
    privacy: PrivacyTerms
    clip_norm: float
    seed: int
    """The same for every participant; mix it with the participant's name."""
    purpose: Purpose = "training"


def build_task(plan: RoundPlan, base: Arrays) -> Task:
    """What `plan` asks; `base` is its global model.

    `base` has the shapes of the plan, such as weights (inputs, units) and biases (units,) for each layer.
    """
    return Task(
        round=plan.round,
        attempt=plan.attempt,
        base=base,
        training=plan.training,
        privacy=plan.privacy,
        clip_norm=plan.clip_norm,
        seed=plan.seed,
        purpose=plan.purpose,
    )


class Trained(NamedTuple):
    """What local training gave, or what local data say of themselves."""

    arrays: Arrays
    """The locally trained model, whose difference to the base is the update; of a summary, its one vector."""
    examples: int
    frauds: int


class Adopted(NamedTuple):
    """What became of a global model here."""

    decision: Choice
    metrics: dict[str, float]
    """On this retailer's own newest labelled data; they leave only if its settings say so."""


class TrainingUnableError(TillguardError):
    """There is nothing to train on, or training failed; `reason` is `data`, `model` or `training` (contract.federation.reasons.REFUSALS)."""

    def __init__(self, reason: Literal["data", "model", "training"], detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


class Learner(Protocol):
    """One retailer's own data and models. Used by one thread.

    Every method may take minutes and raises TrainingUnableError; none changes what serves, but `adopt`.
    """

    def train(self, task: Task) -> Trained:
        """Called once for each attempt that this participant takes part in, before anything is sent.

        The same task gives the same result. With privacy level `sample`, training itself adds the noise (DP-SGD); a learner that
        cannot raises TrainingUnableError.
        """
        ...

    def summarise(self, task: Task) -> Trained:
        """Called instead of `train` where the task's purpose is statistics or calibration.

        Gives one vector, a mean over the examples: for calibration federation.numeric.calibration.compute_histogram of the base's logits, for
        statistics what the model's array of that role is to hold, each example's part of an L2 norm of at most 1. With privacy
        level `sample` every example counts the same.
        """
        ...

    def judge(self, models: Sequence[Arrays]) -> list[dict[str, float]]:
        """Called for cross-site evaluation: how each model does on this retailer's newest labelled data, by figure.

        What cannot be measured is missing: a figure, or all of a model.

        The arrays of each model have the shapes of the plan, such as weights (inputs, units) and biases (units,) for
        each layer.
        """
        ...

    def adopt(self, model_version: int, arrays: Arrays, *, trainings: int) -> Adopted:
        """Called once for each global model: puts it, or what is made of it, in service, where the retailer's gate lets it.

        `trainings`: rounds of training behind it (federation.learning.gate.compute_confidence). Called again with the same version after a crash; the second call changes nothing.

        `arrays` have the shapes of the plan, such as weights (inputs, units) and biases (units,) for each layer.
        """
        ...
