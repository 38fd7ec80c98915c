"""The global model as both sides hold it, and the message that brings it. Pure."""

from msgspec import Struct

from contract.federation.fields import Purpose
from contract.federation.messages import GlobalModel, Shapes


class GlobalWeights(Struct, frozen=True, kw_only=True):
    """The newest global model."""

    version: int
    shapes: Shapes
    payload: bytes
    """float32, little-endian, arrays in the order of `shapes`."""
    purpose: Purpose = "training"
    """Of the round that made it."""
    calibration_after: int = -1
    """The round that made it, where the one after it calibrates; else -1."""
    trainings: int = 0
    """Rounds of training behind it."""


def read_weights(message: GlobalModel, round_number: int) -> GlobalWeights:
    """The model that a message of this round brings."""
    return GlobalWeights(
        version=message.model_version,
        shapes=message.shapes,
        payload=message.payload,
        purpose=message.purpose,
        calibration_after=round_number if message.calibration_follows else -1,
        trainings=message.trainings,
    )


def build_message(model: GlobalWeights) -> GlobalModel:
    """The model told again, to whom it is news."""
    return GlobalModel(
        model_version=model.version, base_version=model.version, shapes=model.shapes, payload=model.payload,
        participants=0, weight=0.0, metrics={}, purpose=model.purpose, trainings=model.trainings,
    )  # fmt: skip
