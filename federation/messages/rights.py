"""Who may say what on which log: one closed table over every type of message. Pure.

The table is asked before a signature is checked or a body is decoded, by the office that the sender's name claims; the signature
then shows that the claim is true. A type that is in no cell is dropped, whoever signed it, so no handler ever meets a message
that it does not know or a sender that it cannot look up. Whether a member is still approved is checked after its signature.
"""

from collections.abc import Mapping
from typing import Literal, get_args

from msgspec import Struct

from contract.federation.fields import COORDINATOR, OPERATOR
from contract.federation.messages import (
    Adoption,
    CoordinatorMessage,
    EnrolmentRequest,
    GlobalModel,
    LedgerEntry,
    MaskedUpdate,
    MaskKeys,
    MaskShares,
    Message,
    Order,
    Refusal,
    SiteFigures,
    Unmasking,
    Update,
    Withdrawal,
    get_type_name,
)
from federation.transports.ports import LogName

Office = Literal["coordinator", "operator", "member", "stranger"]
"""What a sender's name stands for: a reserved name, a name on the roster (whatever its status), or any other name."""
OFFICES: tuple[Office, ...] = get_args(Office)
TYPES: frozenset[type[Struct]] = frozenset(get_args(Message))
_NOBODY: Mapping[Office, frozenset[type[Struct]]] = {office: frozenset() for office in OFFICES}

RIGHTS: Mapping[LogName, Mapping[Office, frozenset[type[Struct]]]] = {
    "control": {**_NOBODY, "coordinator": frozenset(get_args(CoordinatorMessage)) - {GlobalModel, LedgerEntry}},
    "models": {**_NOBODY, "coordinator": frozenset({GlobalModel})},
    "ledger": {**_NOBODY, "coordinator": frozenset({LedgerEntry})},
    "updates": {
        **_NOBODY,
        "operator": frozenset({Order}),
        "member": frozenset(
            {
                EnrolmentRequest, Withdrawal, Adoption, SiteFigures, Refusal, MaskKeys, MaskShares, MaskedUpdate, Unmasking,
                Update,
            }
        ),
        "stranger": frozenset({EnrolmentRequest}),
    },
}  # fmt: skip
_TAGS: Mapping[LogName, Mapping[Office, frozenset[str]]] = {
    log: {office: frozenset(map(get_type_name, types)) for office, types in cells.items()}
    for log, cells in RIGHTS.items()
}
_KNOWN = frozenset(map(get_type_name, TYPES))


def find_office(name: str, *, on_roster: bool) -> Office:
    """What `name` stands for."""
    if name == COORDINATOR:
        return "coordinator"
    if name == OPERATOR:
        return "operator"
    return "member" if on_roster else "stranger"


def find_objection(log: LogName, kind: str, office: Office) -> str | None:
    """Why a message of type `kind` does not count on `log` from `office`, as a code of DROP_REASONS; None: it may be read."""
    if kind not in _KNOWN:
        return "malformed"
    if kind in _TAGS[log][office]:
        return None
    return "unknown_sender" if office == "stranger" and kind in _TAGS[log]["member"] else "no_right"


def may_write(log: LogName, office: Office) -> bool:
    """Whether `office` may say anything at all on `log`."""
    return bool(RIGHTS[log][office])
