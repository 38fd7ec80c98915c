"""Secret sharing after Shamir (1979): any `threshold` shares give the secret, fewer say nothing about it. Pure.

The field is the integers modulo 2^256 + 297, the smallest prime above every secret of 32 bytes. Nothing here tells a wrong
share from a right one; `secagg` compares digests first.
"""

from collections.abc import Mapping, Sequence

from contract.errors import InvariantError
from federation.messages.sealing import RandomBytes

PRIME = 2**256 + 297
SECRET_BYTES = 32
SHARE_BYTES = 33
_COEFFICIENT_BYTES = 48
"""So much more than the field that the remainder is even but for 2^-127."""


def split(secret: bytes, threshold: int, points: Sequence[int], random: RandomBytes) -> dict[int, bytes]:
    """A share of 33 bytes for every point (distinct, from 1 on): values of a random polynomial of degree threshold - 1."""
    if len(secret) != SECRET_BYTES or len(set(points)) != len(points) or any(not 0 < point < PRIME for point in points):
        raise InvariantError("a secret has 32 bytes, and points are distinct and positive")
    if not 1 <= threshold <= len(points):
        raise InvariantError(f"threshold {threshold} of {len(points)} shares")
    coefficients = [int.from_bytes(random(_COEFFICIENT_BYTES), "big") % PRIME for _ in range(threshold - 1)]
    coefficients.append(int.from_bytes(secret, "big"))
    return {point: _value(coefficients, point).to_bytes(SHARE_BYTES, "big") for point in points}


def combine(shares: Mapping[int, bytes], threshold: int) -> bytes | None:
    """The secret, from the first `threshold` shares by point; None where they are too few or no shares of one secret."""
    if len(shares) < threshold or any(len(share) != SHARE_BYTES for share in shares.values()):
        return None
    points = sorted(shares)[:threshold]
    weights = _weights_at_zero(points)
    secret = sum(weight * int.from_bytes(shares[point], "big") for point, weight in zip(points, weights, strict=True))
    secret %= PRIME
    return secret.to_bytes(SECRET_BYTES, "big") if secret < 2**256 else None


def _value(coefficients: Sequence[int], point: int) -> int:
    value = 0
    for coefficient in coefficients:  # Horner; the constant comes last
        value = (value * point + coefficient) % PRIME
    return value


def _weights_at_zero(points: Sequence[int]) -> list[int]:
    """Lagrange: prod(q / (q - p)) over the other points q, for every point p."""
    weights = []
    for point in points:
        above, below = 1, 1
        for other in points:
            if other != point:
                above = above * other % PRIME
                below = below * (other - point) % PRIME
        weights.append(above * pow(below, -1, PRIME) % PRIME)
    return weights
