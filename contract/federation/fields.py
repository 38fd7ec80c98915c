"""Bounds and field types that the federation's messages and frames share. Pure."""

from typing import Annotated, Literal

from msgspec import Meta

from contract.federation.settings import Mode

COORDINATOR = "coordinator"
"""Sender of all that the coordinator says; no participant may have this name."""
OPERATOR = "operator"
"""Sender of orders to a running coordinator, signed with the coordinator's own key; reserved likewise."""
RESERVED_NAMES = frozenset({COORDINATOR, OPERATOR})

WIRE_VERSION = 1
RECORD_BYTES_MAX = 900_000
"""One Kafka record; brokers refuse records of 1 MiB unless told otherwise."""
MESSAGE_BYTES_MAX = 256 * 1024 * 1024
"""One message, put together again from its parts."""
COHORT_MAX = 10_000
SITES_MAX = 24
"""Participants whose models are compared at once: everyone judges everyone's, and a larger table could not be read."""
CLOCK_TOLERANCE_MS = 5 * 60 * 1000  # a message from further in the future is dropped

SenderName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,47}$(?!\n)")]
Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""SHA-256."""
Moment = Annotated[int, Meta(ge=0, le=2**53)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
RoundNumber = Annotated[int, Meta(ge=0, le=2**31)]
Attempt = Annotated[int, Meta(ge=0, le=1_000)]
Text = Annotated[str, Meta(max_length=500)]
OrderId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$(?!\n)")]
Names = Annotated[tuple[SenderName, ...], Meta(max_length=COHORT_MAX)]
SigningPublicKey = Annotated[bytes, Meta(min_length=1952, max_length=1952)]
"""ML-DSA-65."""
SealingPublicKey = Annotated[bytes, Meta(min_length=32, max_length=2048)]
"""ML-KEM-768 + X25519."""
Payload = Annotated[bytes, Meta(max_length=MESSAGE_BYTES_MAX)]
NUMBER_MAX = 1e15
"""No number of the wire format is larger, but for a fixed point's scale; bounds on both sides keep out NaN and infinities too."""
EPSILON_MAX = 1e6
Number = Annotated[float, Meta(ge=-NUMBER_MAX, le=NUMBER_MAX)]
Figures = Annotated[dict[Annotated[str, Meta(max_length=64)], Number], Meta(max_length=64)]
"""Measured numbers by name."""

Stage = Literal["keys", "shares", "updates", "unmasking"]
STAGES: dict[Mode, tuple[Stage, ...]] = {"masked": ("keys", "shares", "updates", "unmasking"), "robust": ("updates",)}
"""What the coordinator waits for in a round, in order."""
Purpose = Literal["training", "statistics", "calibration"]
"""What a round sums up: updates of the weights, statistics of the inputs, or a histogram of scores by label."""
Role = Literal["weights", "statistics", "calibration"]
"""Which purpose moves an array of a model; the others leave it as it is."""
