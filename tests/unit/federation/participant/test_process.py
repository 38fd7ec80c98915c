"""A participant that reads the models log before it knows who speaks there."""

from collections.abc import Sequence

import numpy as np
import pytest

from contract.clock import EPOCH, ManualClock
from contract.federation.fields import COORDINATOR
from contract.federation.messages import Claim, GlobalModel, TensorShape
from contract.federation.settings import ParticipantSettings
from federation.learning.numpy_learner import Data, NumpyLearner
from federation.messages.envelope import seal, to_records
from federation.messages.identity import Identity
from federation.participant.participant import Participant
from federation.participant.process import ParticipantProcess
from federation.participant.state import ParticipantState
from federation.store import MemoryStore
from federation.transports.memory import MemoryBroker, MemoryTransport
from federation.transports.ports import LogName, Outgoing, Record
from tillguard.federation.standing import Standing

VALUES = np.arange(6, dtype=np.float32)


class ModelsFirst(MemoryTransport):
    """As Kafka may give them: two logs are not one order."""

    def __init__(self, broker: MemoryBroker, identity: str) -> None:
        super().__init__(broker, identity)
        self.given: list[LogName] = []
        self._waiting: list[Record] = []

    def poll(self, timeout_s: float) -> list[Record]:
        self._waiting += super().poll(timeout_s)
        models = [each for each in self._waiting if each.log == "models"]
        chosen: Sequence[Record] = models or self._waiting
        self._waiting = [each for each in self._waiting if each not in chosen]
        self.given += [each.log for each in chosen]
        return list(chosen)


@pytest.mark.parametrize("epochs", [[1], [1, 2]], ids=["first", "restarted"])
def test_a_model_that_is_read_before_the_coordinators_claim_is_not_lost(epochs: list[int]) -> None:
    broker, coordinator, own = MemoryBroker(), Identity.generate(COORDINATOR), Identity.generate("shop")
    keys = coordinator.public
    claim = Claim(instance="1", signing_key=keys.signing_key, sealing_key=keys.sealing_key)
    model = GlobalModel(
        model_version=0, base_version=0, shapes=(TensorShape(name="w", shape=(6,)),), payload=VALUES.tobytes(),
        participants=0, weight=0.0, metrics={},
    )  # fmt: skip
    speaker = MemoryTransport(broker, COORDINATOR, exclusive=True)
    logs: list[tuple[LogName, Claim | GlobalModel, int]] = [("models", model, 1)]
    logs += [("control", claim, epoch) for epoch in epochs]
    for log, message, epoch in logs:
        signed = seal(message, coordinator, federation="f", sent_at_ms=0, epoch=epoch)
        speaker.append([Outgoing(log, b"coordinator", record) for record in to_records(signed, coordinator)])
    settings = ParticipantSettings(coordinator_fingerprint=keys.fingerprint)
    transport = ModelsFirst(broker, "shop")
    data = Data(np.zeros((10, 6), np.float32), np.arange(10) % 2 == 0)

    def assemble(state: ParticipantState) -> Participant:
        return Participant(own, "f", settings, state)

    process = ParticipantProcess(
        own, "f", transport, MemoryStore(), ManualClock(EPOCH), learner=NumpyLearner(data, data, seed=0),
        assemble=assemble,
    )  # fmt: skip
    process._adopt = lambda: None  # type: ignore[method-assign]  # the model is none of a network
    process.run_once(0.0)
    assert transport.given[:2] == ["models", "control"], "the case that this test is about"
    assert process.participant.state.epoch == epochs[-1]
    assert process.participant.state.models[0].payload == VALUES.tobytes()
    standing = Standing(away="no Kafka broker answers")
    standing.note_process(process)
    told = standing.look()
    assert (told.activity, told.healthy, told.position) == ("taking_part", True, "not on the roster yet")
