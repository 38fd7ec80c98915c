"""What a coordinator remembers between rounds. Everything here goes into its checkpoint; nothing secret is here.

Bounded: participants and those who wait for approval by settings, counters by closed lists and by participants.
"""

from collections.abc import Callable

from msgspec import Struct, field

from contract.federation.fields import Purpose
from contract.federation.messages import EnrolmentRequest, Member
from federation.audit.ledger import Head
from federation.messages.cross_site import Sites
from federation.messages.global_weights import GlobalWeights
from federation.messages.identity import PublicIdentity
from federation.privacy.budget import LevelSpend

Change = Callable[[], None]
"""What a message does to the state, once all of it has been checked."""


class Waiting(Struct, frozen=True, kw_only=True):
    """Somebody who asked to take part and is not approved."""

    name: str
    request: EnrolmentRequest
    asked_ms: int

    @property
    def identity(self) -> PublicIdentity:
        """The keys it named."""
        return PublicIdentity(
            name=self.name, signing_key=self.request.signing_key, sealing_key=self.request.sealing_key
        )


class Note(Struct, frozen=True, kw_only=True):
    """Something that happened and is not in the ledger yet."""

    kind: str
    content: dict[str, object]


class FailedAttempt(Struct, frozen=True, kw_only=True):
    """An attempt that came to nothing."""

    round: int
    attempt: int
    reason: str


class CoordinatorState(Struct, kw_only=True):
    """Changed only by `federation.coordinator.coordinator.Coordinator`, in the order of the logs."""

    epoch: int = 0
    instance: str = ""
    """Of the coordinator that speaks."""
    told_ms: int = 0
    """When it last said who it is."""
    model: GlobalWeights
    members: dict[str, Member] = field(default_factory=dict)
    roster_version: int = 0
    roster_changed: bool = False
    """The roster on the log is older than `members`."""
    waiting: dict[str, Waiting] = field(default_factory=dict)
    """By fingerprint."""
    said_ms: dict[str, int] = field(default_factory=dict)
    """When `sender/type` last said something outside of rounds; older is a replay."""
    orders: dict[str, int] = field(default_factory=dict)
    """By order_id, when it was given: the newest ORDERS_KEPT of those that came."""
    orders_forgotten_ms: int = -1
    """When the newest was given of those that `orders` no longer holds; as old is a replay."""
    rounds_wanted: int = 0
    round_number: int = 0
    """Of the newest round that began."""
    attempt: int = 0
    """Of the next one."""
    begun: bool = False
    """The round is not ended: its next attempt is `attempt`."""
    purpose: Purpose = "training"
    """Of the newest round that began."""
    uncalibrated: int = 0
    """Trainings since the model was calibrated."""
    halted: str = ""
    """Why no further round began, until one does."""
    failed: FailedAttempt | None = None
    """The newest, whatever came after it."""
    ended_ms: int = 0
    counted: dict[int, list[str]] = field(default_factory=dict)
    """FedBuff: by round, whose update of that round has counted; as far back as a late one may still come."""
    bases: dict[int, int] = field(default_factory=dict)
    """FedBuff: by round, the version of the global model that it began from."""
    optimiser: bytes = b""
    """What the strategy keeps from round to round, as it writes it."""
    spends: list[LevelSpend] = field(default_factory=list)
    """Every attempt that was announced; only grows."""
    reputations: dict[str, float] = field(default_factory=dict)
    adoptions: dict[str, str] = field(default_factory=dict)
    """By participant: what it did with which model."""
    shared: dict[str, dict[str, float]] = field(default_factory=dict)
    """By participant: how what it took does on its own newest labels, where it says so."""
    evaluations: list[Sites] = field(default_factory=list)
    """Across sites: the newest two, since one may begin before the last answer to the other has come."""
    unshown: int = 0
    """Trainings since models were shown for one."""
    drops: dict[str, int] = field(default_factory=dict)
    """Messages dropped since the ledger last said so, by reason."""
    received: dict[str, int] = field(default_factory=dict)
    """Bytes of messages that counted, by participant; only grows."""
    notes: list[Note] = field(default_factory=list)
    ledger: Head = Head()
    """Where the chain stands."""

    def list_approved(self) -> list[Member]:
        """Who may be selected, by name."""
        return [member for _, member in sorted(self.members.items()) if member.status == "approved"]
