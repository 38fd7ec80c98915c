"""People and cases for tests of the desk: a read model in memory, and marks in memory."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from backoffice.accounts.permissions import Role
from backoffice.accounts.principal import Grant, Principal
from backoffice.projection.results import TransactionLine
from contract.events import Label, Origin, Transaction
from contract.verdicts import Reason, Verdict

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ORIGIN = Origin(connector="test", phase="stream", source="shop.orders", position="1")


def person(name: str, *roles: Role, retailer: str = "meadow") -> Principal:
    grants = frozenset(Grant(retailer, role) for role in roles or (Role.ANALYST,))
    return Principal("person", f"id-{name}", name, grants)


ANN, BOB = person("ann"), person("bob")


def transaction(identity: str, **changes: Any) -> Transaction:
    fields: dict[str, Any] = {
        "transaction_id": identity,
        "retailer": "meadow",
        "event_time": NOW,
        "ingest_time": NOW,
        "amount_minor": 10_000,
        "currency": "EUR",
        "origin": ORIGIN,
        "customer": "c1",
        "card": "k1.card",
    }
    return Transaction(**(fields | changes))


def verdict(identity: str, **changes: Any) -> Verdict:
    fields: dict[str, Any] = {
        "transaction_id": identity,
        "retailer": "meadow",
        "revision": 1,
        "decision": "hold",
        "score": 0.5,
        "reasons": [Reason(code="rule:amount-high", text="an amount far above usual", weight=1.0)],
        "model_version": "m1",
        "rules_version": "r1",
        "feature_schema": "f1",
        "rules": ["amount-high"],
        "degraded": False,
        "cause": None,
        "late": False,
        "event_time": NOW,
        "scored_at": NOW,
        "latency_ms": 5.0,
        "stage_us": {},
        "hold_until": NOW + timedelta(minutes=15),
    }
    return Verdict(**(fields | changes))


def label(identity: str, *, fraud: bool, source: Any = "chargeback", at: datetime = NOW) -> Label:
    return Label(
        transaction_id=identity,
        retailer="meadow",
        fraud=fraud,
        source=source,
        label_time=at,
        ingest_time=at,
        origin=ORIGIN,
    )


def line(
    identity: str,
    *,
    loss: int = 5_000,
    left_s: float | None = 900,
    case: Any = "open",
    labels: Sequence[Label] = (),
    of: dict[str, Any] | None = None,
    **changes: Any,
) -> TransactionLine:
    """A case as the queue has it; `of` changes the transaction, other fields the verdict. `left_s=None`: a flag, and nobody waits."""
    usual: dict[str, Any] = {"hold_until": None, "decision": "flag"}
    if left_s is not None:
        usual = {"hold_until": NOW + timedelta(seconds=left_s)}
    return TransactionLine(
        transaction_id=identity,
        transaction=transaction(identity, **(of or {})),
        base_minor=10_000,
        verdict=verdict(identity, **(usual | changes)),
        expected_loss_minor=loss,
        case=case,
        labels=tuple(labels),
    )
