"""How a participant is, as its heartbeat says it. Pure."""

from collections.abc import Sequence

from contract.status.message import Condition

WORDS = {
    "approved": "approved",
    "revoked": "no longer approved",
    "left": "has left",
    "unknown": "not on the roster yet",
}
"""Of what the roster says of it."""


def describe_participant(
    membership: str, adopted_version: int, *, training: bool, away: str, warnings: Sequence[str]
) -> Condition:
    """What it does in the federation.

    Args:
        membership: As `Participant.membership`.
        adopted_version: The newest global model that it has taken or refused; -1: none yet.
        training: Whether a round waits for its training.
        away: Why the federation's Kafka or its own store is waited for; empty while they answer.
        warnings: What its people should know of the roster.
    """
    model = [] if adopted_version < 0 else [f"global model {adopted_version}"]
    return Condition(
        activity="training" if training else "taking_part",
        healthy=not away,
        reasons=[away] if away else [],
        warnings=list(warnings),
        position=", ".join([WORDS.get(membership, membership), *model]),
    )
