"""Which model serves, which served before it, and whether a training may change that. Pure, over the registry's rows."""

from collections.abc import Sequence

from trainer.registry.tables import Challenge, Pin, Promotion


def find_serving_version(promotions: Sequence[Promotion]) -> str | None:
    """The version of the newest confirmed promotion; `promotions` newest first."""
    return next((promotion.model_version for promotion in promotions if promotion.confirmed), None)


def find_previously_serving(promotions: Sequence[Promotion]) -> str | None:
    """The version that a rollback goes to, or None where nothing served before; `promotions` newest first.

    Each rollback takes what it left off the pile, so that the next one goes further back instead of back and forth.
    """
    pile: list[str] = []
    for promotion in reversed([each for each in promotions if each.confirmed]):
        if promotion.kind == "rollback":
            while pile and pile[-1] != promotion.model_version:
                pile.pop()
        if not pile or pile[-1] != promotion.model_version:
            pile.append(promotion.model_version)
    return pile[-2] if len(pile) > 1 else None


def pin_objection(pin: Pin | None) -> str | None:
    """Why a training must not put its model in service by itself; None where it may."""
    if pin is None:
        return None
    why = f": {pin.reason}" if pin.reason else ""
    return (
        f"{pin.model_version} was pinned by {pin.pinned_by} on {pin.pinned_at:%Y-%m-%d %H:%M} UTC{why}; "
        "`tillguard models unpin` lets new models through"
    )


def find_challenger(challenges: Sequence[Challenge]) -> Challenge | None:
    """The challenge that stands: the newest confirmed one, None where it names no model; `challenges` newest first."""
    newest = next((challenge for challenge in challenges if challenge.confirmed), None)
    return newest if newest is not None and newest.model_version is not None else None
