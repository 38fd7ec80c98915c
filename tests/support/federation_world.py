"""A small federation in one process, for tests: few examples, a tiny network, everything from a seed."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.federation.settings import (
    FederationSettings,
    LocalTrainingSettings,
    ParticipantSettings,
    PhaseTimes,
    RoundSettings,
)
from federation.learning.learner import Arrays, Learner
from federation.learning.metrics import measure
from federation.learning.numpy_learner import Data, NumpyLearner, initialise_arrays, list_shapes, predict
from federation.messages.global_weights import GlobalWeights
from federation.numeric.tensors import flatten
from federation.simulation.data import divide, generate_transactions, split
from federation.simulation.world import World
from federation.transports.memory import MemoryTransport

FEATURES, HIDDEN = 6, (4,)


def small_model(*, form: bool = False, hidden: Sequence[int] = HIDDEN) -> GlobalWeights:
    """`form`: with room for statistics and calibration."""
    arrays = initialise_arrays(FEATURES, hidden, seed=0, form=form)
    return GlobalWeights(version=0, shapes=list_shapes(FEATURES, hidden, form=form), payload=flatten(arrays).tobytes())


def unlike(data: Data, place: int) -> Data:
    """As a bank would see it whose features have other sizes: from cents to millions, and half as large again as the one before."""
    sizes = 10.0 ** np.linspace(-1, 6, data.features.shape[1])
    return Data((np.exp(data.features) * sizes * 1.5**place).astype(np.float32), data.labels)


def small_settings(mode: str = "masked", **rounds: Any) -> FederationSettings:
    chosen = {
        "mode": mode,
        "cohort_min": 3,
        "cohort_max": 32,
        "keys": PhaseTimes(min_s=1, max_s=60),
        "shares": PhaseTimes(min_s=1, max_s=60),
        "updates": PhaseTimes(min_s=1, max_s=60),
        "unmasking": PhaseTimes(min_s=1, max_s=60),
        "training": LocalTrainingSettings(epochs=1, learning_rate=0.01),
        **rounds,
    }
    return FederationSettings(rounds=RoundSettings(**chosen), participant=ParticipantSettings(allow_robust=True))


def asking(settings: FederationSettings, **own: Any) -> FederationSettings:
    """`settings` of which every participant asks for this."""
    return settings.model_copy(update={"participant": settings.participant.model_copy(update=own)})


def small_world(
    settings: FederationSettings,
    participants: int,
    *,
    seed: int = 1,
    lying: Sequence[str] = (),
    liar: Callable[[Learner], Learner] | None = None,
    form: bool = False,
    hidden: Sequence[int] = HIDDEN,
    seen: Callable[[Data, int], Data] = lambda data, _place: data,
    examples: int = 1_500,
    **options: Any,
) -> World:
    """`form`, `hidden`: of the model; `seen`: what a participant makes of its part of the data."""
    train, test = split(generate_transactions(examples, FEATURES, 0.1, seed), 0.8, seed)
    test = seen(test, 0)
    learners: dict[str, Learner] = {
        f"shop-{number}": NumpyLearner(*split(seen(part, number), 0.8, number), seed=number)
        for number, part in enumerate(divide(train, participants, 2.0, seed))
    }

    if liar is not None:
        learners |= {name: liar(learners[name]) for name in lying}

    def evaluate(arrays: Arrays) -> dict[str, float]:
        return measure(predict(arrays, test.features), test.labels)

    return World(
        settings, learners, small_model(form=form, hidden=hidden), seed=seed, **({"evaluate": evaluate} | options)
    )


def weights_of(world: World) -> NDArray[np.float32]:
    """Of the newest global model."""
    return np.frombuffer(world.state.model.payload, dtype="<f4")


def killed_at_each_append(made: Callable[[], World], rounds: int, most: int = 19) -> Iterator[World]:
    """For each append of these rounds a world whose coordinator was killed at it, every third time before it stands."""
    for number in range(1, most + 1):
        world = made()
        transport = world.coordinator.transport
        assert isinstance(transport, MemoryTransport)
        setattr(transport, "crash_after" if number % 3 else "crash_before", number)
        world.run_rounds(rounds)
        if world.crashes == 0:
            return
        yield world


def until_stage(world: World, stage: str) -> None:
    """Turns until the attempt under way waits for this stage, and nobody has answered it."""
    while (attempt := world.coordinator.coordinator.attempt) is None or attempt.state.stage != stage:
        world.take_participants_turn()
        world.advance(500)
        world.take_coordinator_turn()
