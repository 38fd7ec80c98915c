"""What a participant says of itself."""

import pytest

from contract.status.words import describe_condition
from federation.participant.status import describe_participant


@pytest.mark.parametrize(
    ("membership", "adopted", "words"),
    [
        ("approved", 4, "taking part, approved, global model 4"),
        ("approved", 0, "taking part, approved, global model 0"),
        ("unknown", -1, "taking part, not on the roster yet"),
        ("revoked", -1, "taking part, no longer approved"),
    ],
)
def test_a_participant_tells_its_place_on_the_roster_and_the_model_it_decided_on(
    membership: str, adopted: int, words: str
) -> None:
    told = describe_participant(membership, adopted, training=False, away="", warnings=["a key changed"])
    assert describe_condition(told) == words
    assert (told.healthy, told.warnings) == (True, ["a key changed"])


def test_it_tells_that_it_trains_and_whom_it_waits_for() -> None:
    told = describe_participant("approved", 4, training=True, away="no Kafka broker answers", warnings=[])
    assert describe_condition(told) == "training: no Kafka broker answers"
