"""Why a message of the federation does not count, and why a participant takes no part: two closed lists."""

DROP_REASONS = {
    "malformed": "bytes that are no message of this version",
    "oversized": "longer than such a message can be",
    "unsigned": "the signature is not the sender's",
    "no_right": "a type of message that its sender may not send on this log",
    "unknown_sender": "no approved participant has this name",
    "revoked": "the sender was revoked",
    "wrong_federation": "meant for another federation",
    "wrong_round": "of a round or attempt that is not under way: late, replayed or ahead",
    "wrong_stage": "the round does not wait for such a message now: late, or in the wrong order",
    "not_selected": "the sender has no part in this attempt or left it",
    "duplicate": "the sender said this before",
    "time": "sent_at lies in the future",
    "unreadable": "sealed to somebody else, or changed on the way",
    "refused": "its contents do not fit what the round asked for",
    "unfinished": "of a decision of which records are missing and upon which nothing was built: its coordinator failed midway",
    "defect": "this program failed while it read or checked the message: please report it, with the line of the log",
    "parts": "parts that belong to no announced message, or too many at once",
}
"""Why a message is dropped; the closed list of what is counted."""

REFUSALS = {
    "mode": "this retailer's settings do not allow the round's mode, or its statistics or scores are asked for without masks",
    "cohort": "fewer participants than this retailer's settings ask for",
    "privacy": "no differential privacy where this retailer's settings ask for it, or a greater delta than they allow",
    "budget": "the round would pass this retailer's own privacy budget",
    "model": "the global model of the round is missing here or does not fit",
    "data": "too few labelled examples to train on",
    "keys": "keys or lists from the coordinator are wrong: changed, overlapping or too few",
    "training": "local training failed",
}
"""Why a participant takes no part in an attempt."""
