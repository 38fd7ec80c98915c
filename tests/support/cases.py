"""Answers and cases whose bytes are told apart at a glance."""

from datetime import datetime

import msgspec

from contract.verdicts import Decision
from scoring.ports import Answer, NewCase


def answer(text: str, decision: Decision = "hold") -> Answer:
    """An answer whose verdict holds `text`."""
    document = {"text": text, "decision": decision, "score": 0.75, "reasons": []}
    return Answer(msgspec.json.encode(document), decision, 0.75)


def new_case(
    transaction_id: str, text: str, open_until: datetime | None = None, *, otherwise: str | None = None
) -> NewCase:
    """A case that wants `text`; where `otherwise` is given, the breaker has a say."""
    flagged = None if otherwise is None else answer(otherwise, "flag")
    return NewCase(transaction_id, answer(text), open_until, flagged)
