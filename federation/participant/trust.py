"""Whom a participant believes, and what it holds for true of what they say, as changes of its state. Pure.

The coordinator is believed under keys whose fingerprint this retailer was given by another way; all others under the keys that the
coordinator's roster names. Everything raises EnvelopeRefusedError with a code of DROP_REASONS where it does not count.
"""

from collections.abc import Mapping

from contract.errors import ConfigurationError
from contract.federation.fields import COORDINATOR
from contract.federation.messages import Claim, GlobalModel, Roster
from federation.messages.global_weights import read_weights
from federation.messages.identity import PublicIdentity, get_identity
from federation.numeric.tensors import unflatten
from federation.participant import peers
from federation.participant.state import ParticipantState
from federation.refusals import EnvelopeRefusedError

MODELS_KEPT = 3
"""The newest global models: a plan names the one it starts from."""


def find_identity(state: ParticipantState, name: str) -> PublicIdentity | None:
    """The keys under which `name` is believed; None where there are none, or none that can be trusted (federation.participant.peers)."""
    if name == COORDINATOR:
        return state.coordinator
    if name in state.distrusted:
        return None
    member = state.members.get(name)
    return None if member is None else get_identity(member)


def find_membership(state: ParticipantState, own: PublicIdentity) -> str:
    """`approved`, `revoked`, `left`, or `unknown` where no roster names these keys."""
    member = state.members.get(own.name)
    if member is None or member.signing_key != own.signing_key:
        return "unknown"
    return member.status


def accept_claim(state: ParticipantState, message: Claim, epoch: int, fingerprint: str | None) -> None:
    """A coordinator says that it is the one from here on; believed under the fingerprint of the settings, and if it is newer."""
    keys = PublicIdentity(name=COORDINATOR, signing_key=message.signing_key, sealing_key=message.sealing_key)
    if keys.fingerprint != fingerprint:
        raise EnvelopeRefusedError("unsigned", "the keys are not those of the fingerprint in the settings")
    if epoch <= state.epoch:
        raise EnvelopeRefusedError("duplicate", "of a coordinator that another has followed")
    state.epoch, state.coordinator = epoch, keys


def accept_roster(state: ParticipantState, message: Roster, own: PublicIdentity, accepted: Mapping[str, str]) -> None:
    """Who takes part, where that is news. `accepted`: fingerprints that this retailer's people let in (federation.participant.peers)."""
    if message.version > state.roster_version:
        pins = peers.update_pins(state.pins, message.members, accepted) | {own.name: own.fingerprint}
        faults = peers.find_distrusted(pins, message.members)
        state.roster_version, state.pins, state.distrusted = message.version, pins, faults
        state.members = {member.name: member for member in message.members}
        _note_approval(state, own)


def pin_remembered(state: ParticipantState, own: PublicIdentity) -> None:
    """What an earlier build remembered of others is pinned, too; the own name always belongs to the own keys."""
    state.pins = peers.update_pins(state.pins, state.members.values(), {}) | {own.name: own.fingerprint}
    _note_approval(state, own)


def _note_approval(state: ParticipantState, own: PublicIdentity) -> None:
    if find_membership(state, own) == "approved":
        state.approved_as = own.fingerprint


def accept_changed_keys(state: ParticipantState, accepted: Mapping[str, str]) -> None:
    """Believes changed keys from here on where this retailer's people let just these in."""
    for name in [name for name, fault in state.distrusted.items() if fault == "changed"]:
        if accepted.get(name) == peers.compute_fingerprint(state.members[name]):
            state.pins[name] = accepted[name]
            del state.distrusted[name]


def accept_coordinator(
    state: ParticipantState, wanted: str | None, accepted: str | None, retailer: str
) -> ParticipantState:
    """What is still true under the coordinator of the fingerprint `wanted`: all; where its people changed its keys, only pins and spends.

    Raises ConfigurationError where it is another than before, and nobody has said `accepted` of just this one.
    """
    if state.coordinator is None or state.coordinator.fingerprint == wanted:
        return state
    if accepted != wanted:
        raise ConfigurationError([peers.describe_other_coordinator(state.coordinator.fingerprint, wanted, retailer)])
    return ParticipantState(pins=state.pins, spends=state.spends, approved_as=state.approved_as)


def find_warnings(state: ParticipantState, own: PublicIdentity, *, left: bool) -> dict[str, str]:
    """What this retailer's people should know of the roster, in sentences that say what to do, by name. `left`: it left by itself."""
    found = {
        name: peers.describe_other(
            name, fault, own.name, pin=state.pins.get(name, ""), shown=peers.compute_fingerprint(state.members[name])
        )
        for name, fault in state.distrusted.items()
        if name != own.name
    }
    if state.approved_as == own.fingerprint and state.roster_version:
        found[own.name] = peers.describe_own(own, state.members.get(own.name), left=left)
    return {name: sentence for name, sentence in found.items() if sentence}


def accept_model(state: ParticipantState, message: GlobalModel, round_number: int) -> None:
    """Keeps the newest models; raises UpdateRefusedError where lengths do not fit, or a value is not finite."""
    model = read_weights(message, round_number)
    unflatten(model.shapes, model.payload)
    if model.version not in state.models:
        kept = sorted([*state.models.values(), model], key=lambda one: one.version)[-MODELS_KEPT:]
        state.models = {one.version: one for one in kept}
