"""Whose keys a participant knows, whatever a roster says: a name belongs to the keys that it first came with. Pure.

The coordinator's roster tells the participants each other's keys, and masks hide an update only from whoever has none of those keys.
So a participant keeps each name with the fingerprint of its keys, durably, also after the name has left the roster; other keys under
the name, and keys that stand under two names, are no longer believed, and a round with such a name is refused as `keys`. A person that
has heard the new fingerprint from the other retailer's own people, not over Kafka, lets it in.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from contract.federation.fields import COORDINATOR
from contract.federation.messages import Member
from federation.messages.identity import PublicIdentity

Fault = Literal["changed", "shared", "twice"]
"""Keys are not believed: the name had others before; another approved name has them, too; the name stands there twice."""


class Word(Struct, kw_only=True):
    """What the retailer's own people have told their participant, running or not."""

    accepted: dict[str, str] = field(default_factory=dict)
    """By name, the fingerprint of keys that are let in after others."""
    left: bool = False
    """The retailer has left the federation by itself."""


def compute_fingerprint(member: Member) -> str:
    """Of a member's keys."""
    return PublicIdentity(name=member.name, signing_key=member.signing_key, sealing_key=member.sealing_key).fingerprint


def update_pins(pins: Mapping[str, str], members: Iterable[Member], accepted: Mapping[str, str]) -> dict[str, str]:
    """`pins` (fingerprints by name) with the names that are new, and with other keys where a person has let just these in."""
    found = dict(pins)
    for member in members:
        fingerprint = compute_fingerprint(member)
        if accepted.get(member.name) == fingerprint:
            found[member.name] = fingerprint
        else:
            found.setdefault(member.name, fingerprint)
    return found


def find_distrusted(pins: Mapping[str, str], members: Sequence[Member]) -> dict[str, Fault]:
    """By name, why its keys are not believed. Of those who were revoked or left, keys may come again under another name."""
    names = Counter(member.name for member in members)
    approved = [member for member in members if member.status == "approved"]
    keys = Counter(key for member in approved for key in (member.signing_key, member.sealing_key))
    found: dict[str, Fault] = {}
    for member in members:
        if names[member.name] > 1:
            found[member.name] = "twice"
        elif keys[member.signing_key] > 1 or keys[member.sealing_key] > 1:
            found[member.name] = "shared"
        elif pins.get(member.name) != compute_fingerprint(member):
            found[member.name] = "changed"
    return found


def describe_other(name: str, fault: Fault, retailer: str, *, pin: str, shown: str) -> str:
    """What `retailer`'s people should know of another name, and what they can do; `pin` and `shown` are fingerprints."""
    if fault == "twice":
        return f"{name} stands on the roster twice: rounds with it are refused; ask the coordinator's people why"
    if fault == "shared":
        return f"{name} has keys on the roster that another name has, too: rounds with it are refused; ask the coordinator's people why"
    return (
        f"{name} has other keys on the roster than before ({pin}): rounds with it are refused. Ask the people of {name} by telephone;"
        f" if they say the fingerprint {shown}: tillguard federation peers accept {name} --fingerprint {shown} --retailer {retailer}"
    )


def describe_own(own: PublicIdentity, member: Member | None, *, left: bool) -> str:
    """What a retailer's people should know of its own place on the roster, where it was approved with these keys; empty: nothing.

    `left`: it has left by itself.
    """
    if member is None:
        return f"{own.name} is gone from the roster, and never left: ask the coordinator's people why"
    if compute_fingerprint(member) != own.fingerprint:
        return f"{own.name} stands on the roster with keys that are not its own: ask the coordinator's people who enrolled them"
    if member.status == "left" and not left:
        return f"{own.name} has left, says the roster, and did not: ask the coordinator's people why"
    if member.status == "revoked":
        return f"{own.name} was shut out by an operator: ask the coordinator's people why"
    return ""


def describe_other_coordinator(known: str, wanted: str | None, retailer: str) -> str:
    """A sentence for a settings file that names another coordinator than the one that was believed so far."""
    return (
        f"federation.participant.coordinator_fingerprint is {wanted}, and this participant has believed {known} so far. Set it back; or, if"
        f" the coordinator's people have told you the new one by another way than Kafka: tillguard federation peers accept {COORDINATOR}"
        f" --fingerprint {wanted} --retailer {retailer}"
    )
