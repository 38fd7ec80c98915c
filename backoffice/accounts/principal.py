"""Who asks: a person, a machine with an access token, or somebody at the command line. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from backoffice.accounts.permissions import ALLOWED, EVERYWHERE, SANDBOX, Action, Role, Scope
from backoffice.audit.chain import Who

Kind = Literal["person", "token", "shell"]
"""`shell`: whoever can read the installation's settings and gives a command there."""


class Grant(NamedTuple):
    """A role or scope at one retailer, or EVERYWHERE."""

    retailer: str
    right: Role | Scope


@dataclass(frozen=True, slots=True)
class Principal:
    """One who asks, as it stood when it was looked up."""

    kind: Kind
    principal_id: str
    """Stays the same when the name changes."""
    name: str
    """For people to read: a user name, or a token's name."""
    grants: frozenset[Grant]
    sandbox: bool = False
    """A token of the sandbox, which may use that and nothing else."""

    @property
    def who(self) -> Who:
        """As the audit trail names it."""
        return Who(self.kind, self.principal_id, self.name)

    def may(self, action: Action, retailer: str) -> bool:
        """Whether `action` is allowed at `retailer`; EVERYWHERE asks for the whole installation."""
        if self.sandbox or action in SANDBOX:
            return self.sandbox and action in SANDBOX and self.has_any_right_at(retailer)
        return any(action in ALLOWED[each.right] for each in self.grants if each.retailer in (retailer, EVERYWHERE))

    def has_any_right_at(self, retailer: str) -> bool:
        """Whether it has any business with `retailer`; to others nothing of that retailer exists."""
        return any(each.retailer in (retailer, EVERYWHERE) for each in self.grants)

    def select_retailers(self, known: Iterable[str]) -> list[str]:
        """Those of `known` that it may learn of, in order."""
        return [each for each in known if self.has_any_right_at(each)]

    def select_where(self, action: Action, known: Iterable[str]) -> list[str]:
        """Those of `known` at which it may do `action`, in order."""
        return [each for each in known if self.may(action, each)]


def may_manage(principal: Principal, grants: Iterable[Grant]) -> bool:
    """Whether `principal` may disable, or let sign in again, a person with these grants.

    Only who administers every retailer of that person: whoever gets that person's sign-in link gets all of the rights with it.
    """
    retailers = {each.retailer for each in grants}
    return all(principal.may(Action.WRITE_USERS, each) for each in retailers or {EVERYWHERE})
