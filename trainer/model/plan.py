"""How to train: what a person may choose. Imports no TensorFlow, so that a command can check it at once."""

import math
from dataclasses import dataclass
from typing import Literal

from trainer.model.binning import CUTS_MAX

HIDDEN = (128, 64)
"""Units of the network's hidden layers."""


@dataclass(frozen=True, slots=True)
class Privacy:
    """Sample-level differential privacy by DP-SGD."""

    clipping_norm: float
    """Greatest L2 norm of one example's gradient."""
    noise_multiplier: float
    """Standard deviation of the noise on the summed gradients, in clipping norms."""
    delta: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train."""

    seed: int
    epochs_max: int
    threads: int = 1
    seconds_max: float = math.inf
    """Learning stops after so long and keeps the best weights until then."""
    imbalance: Literal["class_weights", "focal", "smote"] = "class_weights"
    focal_gamma: float = 2.0
    privacy: Privacy | None = None
    steps_max: int = CUTS_MAX
    """Steps of the network's first layer; 0: none."""
