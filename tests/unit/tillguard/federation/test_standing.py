"""What a participant's heartbeat finds before, and while, its federation does not answer."""

from threading import Event

import pytest

from contract.errors import TransientError
from contract.federation.settings import FederationSettings, ParticipantSettings
from federation.messages.identity import Identity
from tillguard.federation import root
from tillguard.federation.standing import Standing


def test_a_participant_that_finds_no_federation_tells_whom_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    standing, stop = Standing(), Event()
    assert (standing.look().activity, standing.look().healthy) == ("starting", True)

    def open_nothing(*_: object, **__: object) -> None:
        stop.set()
        raise TransientError("no Kafka broker answers")

    monkeypatch.setattr(root, "open_participant_process", open_nothing)
    settings = FederationSettings(participant=ParticipantSettings(coordinator_fingerprint="ab" * 32))
    root.run_participant(settings, Identity.generate("shop"), None, stop, standing=standing)  # type: ignore[arg-type]
    told = standing.look()
    assert (told.activity, told.healthy, told.reasons) == ("starting", False, ["no Kafka broker answers"])
