"""What stands behind the paths: ports that the composition root fills."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from backoffice.accounts.access_tokens import AccessTokens
from backoffice.accounts.people import People
from backoffice.accounts.principal import Principal
from backoffice.accounts.sessions import Sessions
from backoffice.accounts.sign_in import SignIn
from backoffice.accounts.token_cache import TokenCache
from backoffice.audit.trail import AuditTrail
from backoffice.cases.desk import Desk
from backoffice.cases.outbox import Outbox
from backoffice.checkout.door import Door
from backoffice.checkout.sandbox import Sandbox
from backoffice.http.idempotency import IdempotencyKeys
from backoffice.projection.ports import ReadModel
from backoffice.projection.projector import ProjectorState
from contract.clock import Clock
from contract.metrics import Metrics
from contract.rules import RulesServing, RulesVersion


class TokenFinder(Protocol):
    """Knows the tokens of machines. Safe for threads."""

    def find_remembered(self, text: str) -> Principal | None:
        """Whose token this is, as far as it is remembered; never blocks."""
        ...

    def authenticate(self, text: str) -> Principal | None:
        """Whose token this is; may ask the database. Raises TransientError where that does not answer."""
        ...


class RulesDesk(Protocol):
    """The rules of one retailer. Blocks; raises TransientError where Kafka does not answer."""

    def list_versions(self) -> tuple[tuple[RulesVersion, ...], RulesServing | None]:
        """Every version on the topic, the newest first, and which one serves."""
        ...

    def check(self, source: str) -> str:
        """The version that these rules will have; raises ConfigurationError with every fault."""
        ...

    def publish(self, source: str, *, by: str, note: str) -> RulesVersion:
        """Puts a version on the topic, which serves nobody yet; raises ConfigurationError with every fault."""
        ...

    def serve(self, version: str, *, by: str, reason: str) -> RulesServing:
        """Puts a published version in service; raises ConfigurationError where there is none such."""
        ...


@dataclass(frozen=True, slots=True)
class AccountServices:
    """Who there is, and who did what; used by any number of threads."""

    people: People
    sessions: Sessions
    sign_in: SignIn
    access_tokens: AccessTokens
    token_cache: TokenCache
    trail: AuditTrail


@dataclass(frozen=True, slots=True)
class RetailerServices:
    """What belongs to one retailer."""

    door: Door
    sandbox: Sandbox
    desk: Desk
    outbox: Outbox
    rules: RulesDesk
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
    accounts: AccountServices
    public_url: str
    """Where browsers find the backoffice."""
    list_projections: Callable[[], list[ProjectorState]]
    """How far the read model is behind, for each retailer."""
