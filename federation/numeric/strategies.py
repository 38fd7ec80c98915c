"""From the combined update to the next global model: server state in, server state out. Pure.

    fedavg, fedprox   x + lr * d                                        (McMahan et al., AISTATS 2017; Li et al., MLSys 2020)
    fedavgm           m' = beta * m + d;  x + lr * m'                   (Hsu et al. 2019)
    fedadam           m' = b1 * m + (1 - b1) * d;  v' = b2 * v + (1 - b2) * d^2;  x + lr * m' / (sqrt(v') + tau)
    fedyogi           as fedadam with v' = v - (1 - b2) * d^2 * sign(v - d^2)      (both Reddi et al., ICLR 2021)
    fedbuff           as fedavg, of the mean of the last K updates, each weighed by 1 / sqrt(1 + staleness)
                      (Nguyen et al., AISTATS 2022)

d is the mean of what participants moved away from x. FedProx differs on the participants' side, FedBuff in what is waited for
(federation.coordinator.attempt) and in how late updates are weighed (federation.coordinator.robust).
"""

import math

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from contract.federation.settings import StrategySettings
from federation.refusals import UpdateRefusedError

Vector = NDArray[np.float64]
_FLOAT64 = np.dtype("<f8")


class ServerState(Struct, frozen=True, kw_only=True, array_like=True):
    """What a strategy remembers between rounds: vectors of the model's length as float64 bytes, empty where not used."""

    name: str
    momentum: bytes = b""
    second: bytes = b""
    """Of squares: v."""


def initialise(settings: StrategySettings, size: int) -> ServerState:
    """The state before the first round; v begins at tau^2, as its authors advise."""
    zeros = bytes(size * _FLOAT64.itemsize)
    if settings.name in ("fedadam", "fedyogi"):
        return ServerState(name=settings.name, momentum=zeros, second=_bytes(np.full(size, settings.tau**2)))
    return ServerState(name=settings.name, momentum=zeros if settings.name == "fedavgm" else b"")


def apply_step(
    settings: StrategySettings, state: ServerState, model: NDArray[np.floating], update: NDArray[np.floating]
) -> tuple[Vector, ServerState]:
    """The next model (shape (n,)) and state, from the combined `update` (shape (n,), finite)."""
    base, delta = np.asarray(model, dtype=np.float64), np.asarray(update, dtype=np.float64)
    if base.shape != delta.shape or base.ndim != 1:
        raise UpdateRefusedError("shape", f"update of shape {delta.shape}, model of shape {base.shape}")
    if state.name != settings.name:
        state = initialise(settings, len(base))  # the strategy was changed: what another remembered says nothing
    rate = settings.learning_rate
    if settings.name == "fedavgm":
        momentum = settings.momentum * _vector(state.momentum, len(base)) + delta
        moved, state = base + rate * momentum, ServerState(name=state.name, momentum=_bytes(momentum))
    elif settings.name in ("fedadam", "fedyogi"):
        moved, state = _adaptive(settings, state, base, delta)
    else:
        moved = base + rate * delta
    if not np.isfinite(moved).all():
        raise UpdateRefusedError("not_finite", "the step leaves the range of numbers: a lower learning rate would not")
    return moved, state


def _adaptive(
    settings: StrategySettings, state: ServerState, base: Vector, delta: Vector
) -> tuple[Vector, ServerState]:
    momentum = settings.beta1 * _vector(state.momentum, len(base)) + (1 - settings.beta1) * delta
    second, square = _vector(state.second, len(base)), delta**2
    if settings.name == "fedadam":
        second = settings.beta2 * second + (1 - settings.beta2) * square
    else:
        second = second - (1 - settings.beta2) * square * np.sign(second - square)
    moved = base + settings.learning_rate * momentum / (np.sqrt(second) + settings.tau)
    return moved, ServerState(name=state.name, momentum=_bytes(momentum), second=_bytes(second))


def compute_staleness_weight(staleness: int) -> float:
    """How much an update counts that began this many models ago (0: with the newest)."""
    return 1 / math.sqrt(1 + staleness)


def encode_state(state: ServerState) -> bytes:
    """For the coordinator's checkpoint."""
    return msgspec.msgpack.encode(state)


def decode_state(data: bytes, settings: StrategySettings, size: int) -> ServerState:
    """What `encode_state` wrote, or the initial state for no bytes; raises UpdateRefusedError(format | length)."""
    if not data:
        return initialise(settings, size)
    try:
        state = msgspec.msgpack.decode(data, type=ServerState)
    except msgspec.MsgspecError:
        raise UpdateRefusedError("format", "the strategy's state is damaged") from None
    for vector in (state.momentum, state.second):
        if vector:
            _vector(vector, size)
    return state


def _vector(data: bytes, size: int) -> Vector:
    if len(data) != size * _FLOAT64.itemsize:
        raise UpdateRefusedError("length", "the strategy's state is of another model")
    return np.frombuffer(data, dtype=_FLOAT64)


def _bytes(vector: Vector) -> bytes:
    return vector.astype(_FLOAT64).tobytes()
