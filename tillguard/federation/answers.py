"""An operator's words to orders, and answers to words: what to do where an order was not carried out. Pure."""

import msgspec

from contract.errors import ConfigurationError, TillguardError
from contract.federation.messages import Order
from federation.audit.orders import Answer
from federation.coordinator.state import CoordinatorState

ENDLESS = 1_000_000
"""Rounds of an order without end."""
_LOOK = "`tillguard federation participants list` shows who takes part and who waits, with fingerprints"
_ADVICE = {"time": "set the clock, and give the order again"}


def build_order(action: str, participant: str, fingerprint: str | None) -> Order:
    """The order; raises ConfigurationError for one that no coordinator could read."""
    try:
        return msgspec.convert({"action": action, "participant": participant, "fingerprint": fingerprint}, Order)
    except msgspec.ValidationError:
        fault = (
            "a participant's name has lower-case letters, digits and dashes, at most 48; a fingerprint 64 hex digits"
        )
        raise ConfigurationError([f"{action}: {fault}"]) from None


def check(answer: Answer, order: Order, *, federation: str, wait_s: float) -> None:
    """Raises TillguardError where `order` was refused, or nobody answered though it was waited for."""
    what = f"{order.action} {order.participant}" if order.participant else order.action
    if answer.outcome == "refused":
        advice = _ADVICE.get(answer.reason, _LOOK)
        raise TillguardError(f"{what} is refused ({answer.reason}): {answer.detail}; nothing was changed. {advice}.")
    if answer.outcome == "unanswered" and wait_s > 0:
        raise TillguardError(
            f"{what}: {answer.detail or f'no coordinator of {federation} answered within {wait_s:g} s'}. "
            f"The order stands on the topic {federation}.updates.v1 and is carried out when a coordinator comes to it: start one "
            "(`tillguard federation run`) if none runs; if one does, its log says `message_dropped` where it does not heed the order. "
            f"Then {_LOOK}."
        )


def choose_orders(state: CoordinatorState, rounds: int | None) -> list[Order]:
    """What makes a coordinator continue for `rounds` more, None: round after round; nothing where it was ordered so. Pure.

    Of an earlier, larger order what is left is taken back: nobody pays privacy for rounds that are no longer wanted.
    """
    run = Order(action="run", rounds=rounds or ENDLESS)
    if rounds is None:
        return [] if state.rounds_wanted > ENDLESS // 2 else [run]
    if 0 < state.rounds_wanted <= rounds:
        return []
    return [Order(action="pause"), run] if state.rounds_wanted else [run]
