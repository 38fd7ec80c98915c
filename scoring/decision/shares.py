"""Who falls into a share: stable by hash, so that the same one always does, on every worker and forever. Pure.

A share that grows keeps everybody who was in it. Each purpose has a hash of its own, so that the customers of a canary are
no more often in the control group than others.
"""

import hashlib

from contract.events import Transaction

CANARY = b"canary"
CONTROL = b"control"


def compute_place(token: str, purpose: bytes) -> float:
    """Where `token` stands in [0, 1), evenly spread (BLAKE2b, 48 bits, so that it is exact as a float)."""
    digest = hashlib.blake2b(token.encode(), digest_size=6, person=purpose).digest()
    return int.from_bytes(digest, "big") / (1 << 48)


def is_in_share(token: str, purpose: bytes, share: float) -> bool:
    """Whether `token` belongs to a `share` in [0, 1] of all; 0 holds nobody, 1 everybody."""
    return compute_place(token, purpose) < share


def get_canary_token(transaction: Transaction) -> str:
    """Whom a canary counts as one: the customer, or the transaction where none is named."""
    return transaction.customer or transaction.transaction_id
