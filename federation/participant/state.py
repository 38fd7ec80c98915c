"""What a participant remembers between rounds, and what it says. Nothing secret is here."""

from typing import NamedTuple

from msgspec import Struct, field

from contract.federation.messages import Member, ParticipantMessage
from federation.messages.global_weights import GlobalWeights
from federation.messages.identity import PublicIdentity
from federation.participant.peers import Fault
from federation.privacy.budget import LevelSpend
from federation.secagg.masked_sum import Attempts


class ParticipantState(Struct, kw_only=True):
    """What a participant remembers over a restart. No secret, and nothing of an attempt but that it was joined.

    To be stored before what is in the outbox is sent, and not while a task is open: then its plan is read again.
    """

    epoch: int = 0
    coordinator: PublicIdentity | None = None
    roster_version: int = 0
    members: dict[str, Member] = field(default_factory=dict)
    pins: dict[str, str] = field(default_factory=dict)
    """By name, the fingerprint of the keys that it first came with, or that this retailer's people let in later; kept forever."""
    distrusted: dict[str, Fault] = field(default_factory=dict)
    """By name, why the roster's keys for it are not believed."""
    approved_as: str = ""
    """The fingerprint of the own keys under which the newest approval was."""
    models: dict[int, GlobalWeights] = field(default_factory=dict)
    joined: Attempts = field(default_factory=Attempts)
    heard: Attempts = field(default_factory=Attempts)
    """The newest that was announced to it; an older plan is somebody's copy."""
    spends: list[LevelSpend] = field(default_factory=list)
    """Of the attempts that it joined, by its own count."""
    adopted_version: int = -1
    given_up: int = -1
    """The newest round that ended without a model."""
    willing: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Round and attempt of the newest updates with which it agreed to be compared, by the global model they were to make; models of
    others are judged for these alone, and once."""


class Saying(NamedTuple):
    """A message on its way to the coordinator."""

    message: ParticipantMessage
    round: int = 0
    attempt: int = 0
    sealed: bool = True
    """To the coordinator; what is passed on to other participants is not."""
