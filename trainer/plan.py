"""How to train: what a person may choose. Imports no TensorFlow, so that a command can check it at once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train."""

    seed: int
    epochs_max: int
    threads: int = 1
