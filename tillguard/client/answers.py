"""What a checkout gets: answers, refusals, and the decision for when nothing answers. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from backoffice.checkout.request import TransactionRequest
from contract.errors import TillguardError, TransientError
from contract.money import get_exponent
from contract.verdicts import Decision, Verdict

HOLD_FROM = Decimal(200)
Fallback = Callable[[TransactionRequest], Decision]
"""Decides when nothing answers. It should look at the transaction alone, so that a repeated request is told the same."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the checkout is to do now."""

    decision: Decision
    source: Literal["verdict", "fallback", "client"]
    """`fallback`: Tillguard has the transaction, and no verdict came in time. `client`: nothing answered, so this client's own
    fallback decided, and Tillguard may not know of the transaction: ask again with the same transaction later."""
    verdict: Verdict | None


class Fault(Struct, frozen=True, kw_only=True):
    """One field that cannot be used."""

    pointer: str
    code: str
    text: str


class RequestRefusedError(TillguardError):
    """A request will never be answered as it is: asking again does not help."""

    def __init__(self, status: int, title: str, code: str | None, faults: list[Fault]) -> None:
        told = "; ".join(f"{each.pointer or 'body'}: {each.text}" for each in faults)
        super().__init__(f"{status} {title}" + (f": {told}" if told else ""))
        self.status = status
        self.code = code
        """`conflict`: the transaction_id was seen before with other content."""
        self.faults = faults


class UnansweredError(TransientError):
    """Nobody answered in time."""


def decide_by_amount(transaction: TransactionRequest) -> Decision:
    """The usual fallback: `hold` from 200 units of the transaction's currency, `flag` below."""
    amount = transaction.amount
    if amount is None:
        amount = Decimal(transaction.amount_minor or 0).scaleb(-get_exponent(transaction.currency))
    return "hold" if amount >= HOLD_FROM else "flag"
