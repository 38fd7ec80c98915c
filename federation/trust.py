"""Whom a participant believes, and what it holds for true of what they say, as changes of its state. Pure.

The coordinator is believed under keys whose fingerprint this retailer was given by another way; all others under the keys that the
coordinator's roster names. Everything raises EnvelopeRefusedError with a code of DROP_REASONS where it does not count.
"""

from contract.federation import COORDINATOR, Claim, GlobalModel, Roster
from federation.admission import identity_of
from federation.coordinator_state import weights_of
from federation.identity import PublicIdentity
from federation.participant_state import ParticipantState
from federation.refusals import EnvelopeRefusedError
from federation.tensors import unflatten

MODELS_KEPT = 3
"""The newest global models: a plan names the one it starts from."""


def known(state: ParticipantState, name: str) -> PublicIdentity | None:
    """The keys under which `name` is believed."""
    if name == COORDINATOR:
        return state.coordinator
    member = state.members.get(name)
    return None if member is None else identity_of(member)


def membership(state: ParticipantState, own: PublicIdentity) -> str:
    """`approved`, `revoked`, `left`, or `unknown` where no roster names these keys."""
    member = state.members.get(own.name)
    if member is None or member.signing_key != own.signing_key:
        return "unknown"
    return member.status


def claimed(state: ParticipantState, message: Claim, epoch: int, fingerprint: str | None) -> None:
    """A coordinator says that it is the one from here on; believed under the fingerprint of the settings, and if it is newer."""
    keys = PublicIdentity(name=COORDINATOR, signing_key=message.signing_key, sealing_key=message.sealing_key)
    if keys.fingerprint != fingerprint:
        raise EnvelopeRefusedError("unsigned", "the keys are not those of the fingerprint in the settings")
    if epoch <= state.epoch:
        raise EnvelopeRefusedError("duplicate", "of a coordinator that another has followed")
    state.epoch, state.coordinator = epoch, keys


def enrolled(state: ParticipantState, message: Roster) -> None:
    """Who takes part, where that is news."""
    if message.version > state.roster_version:
        state.roster_version = message.version
        state.members = {member.name: member for member in message.members}


def received(state: ParticipantState, message: GlobalModel, round_number: int) -> None:
    """Keeps the newest models; raises UpdateRefusedError where lengths do not fit, or a value is not finite."""
    model = weights_of(message, round_number)
    unflatten(model.shapes, model.payload)
    if model.version not in state.models:
        kept = sorted([*state.models.values(), model], key=lambda one: one.version)[-MODELS_KEPT:]
        state.models = {one.version: one for one in kept}
