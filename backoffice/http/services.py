"""What stands behind the paths: ports that the composition root fills."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from backoffice.accounts.principal import Principal
from backoffice.cases.desk import Desk
from backoffice.cases.outbox import Outbox
from backoffice.checkout.door import Door
from backoffice.checkout.sandbox import Sandbox
from backoffice.http.idempotency import IdempotencyKeys
from backoffice.projection.ports import ReadModel
from backoffice.projection.projector import ProjectorState
from contract.clock import Clock
from contract.metrics import Metrics


class TokenFinder(Protocol):
    """Knows the tokens of machines. Safe for threads."""

    def find_remembered(self, text: str) -> Principal | None:
        """Whose token this is, as far as it is remembered; never blocks."""
        ...

    def authenticate(self, text: str) -> Principal | None:
        """Whose token this is; may ask the database. Raises TransientError where that does not answer."""
        ...


@dataclass(frozen=True, slots=True)
class RetailerServices:
    """What belongs to one retailer."""

    door: Door
    sandbox: Sandbox
    desk: Desk
    outbox: Outbox
    list_closed: Callable[[], list[str]]
    """Why nothing can be judged now, in words; empty: the door is open."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that routes call."""

    clock: Clock
    metrics: Metrics
    tokens: TokenFinder
    keys: IdempotencyKeys
    retailers: Mapping[str, RetailerServices]
    read_model: ReadModel
    list_projections: Callable[[], list[ProjectorState]]
    """How far the read model is behind, for each retailer."""
