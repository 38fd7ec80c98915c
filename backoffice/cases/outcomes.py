"""What an action at the desk means for the checkout and for the trainer. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from contract.events import ResolutionKind

ActionName = Literal["approved", "rejected", "approve", "block", "genuine", "fraud", "a", "b", "g", "f"]
"""How a decision can be told: by its outcome, by a word, or by the key that stands for the word."""
OUTCOMES: Mapping[ActionName, ResolutionKind] = MappingProxyType(
    {
        "approved": "approved",
        "approve": "approved",
        "genuine": "approved",
        "a": "approved",
        "g": "approved",
        "rejected": "rejected",
        "block": "rejected",
        "fraud": "rejected",
        "b": "rejected",
        "f": "rejected",
    }
)
"""`approved` ends a hold as `allow` and labels the transaction genuine; `rejected` blocks it and labels it fraud."""


def is_right(outcome: str, *, fraud: bool) -> bool:
    """Whether an outcome agrees with what a transaction turned out to be."""
    return (outcome in {"rejected", "step_up_failed"}) == fraud
