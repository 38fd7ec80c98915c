"""Any threshold of shares gives the secret; fewer are consistent with every secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import InvariantError
from federation.secagg.shamir import PRIME, SHARE_BYTES, combine, split
from support.masking_round import seeded_bytes


def is_prime(number: int) -> bool:
    """Miller and Rabin with 40 bases."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in range(2, 42):
        x = pow(base, odd, number)
        if x in (1, number - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % number
            if x == number - 1:
                break
        else:
            return False
    return True


def test_the_field_is_a_field_and_holds_every_secret() -> None:
    assert is_prime(PRIME)
    assert PRIME > 2**256
    assert not any(is_prime(2**256 + offset) for offset in range(297))


@given(st.binary(min_size=32, max_size=32), st.integers(1, 12), st.integers(0, 8), st.randoms(use_true_random=False))
def test_any_threshold_of_shares_gives_the_secret_back(secret: bytes, threshold: int, more: int, order: object) -> None:
    points = list(range(1, threshold + more + 1))
    shares = split(secret, threshold, points, seeded_bytes(secret))
    chosen = order.sample(points, threshold)  # type: ignore[attr-defined]
    assert combine({point: shares[point] for point in chosen}, threshold) == secret
    assert combine({point: shares[point] for point in chosen[1:]}, threshold) is None


def test_fewer_shares_than_the_threshold_fit_every_secret() -> None:
    # Two shares of three: for any claimed secret there is a polynomial through both, so they exclude none.
    shares = split(b"a" * 32, 3, [1, 2, 3], seeded_bytes(0))
    for claimed in (0, 1, 2**256 - 1):
        # f(3) that would make f(0) = claimed: 3 f(1) - 3 f(2) + f(3) = f(0)
        one, two = (int.from_bytes(shares[point], "big") for point in (1, 2))
        third = (claimed - 3 * one + 3 * two) % PRIME
        forged = {1: shares[1], 2: shares[2], 3: third.to_bytes(SHARE_BYTES, "big")}
        assert combine(forged, 3) == claimed.to_bytes(32, "big")


def test_the_secret_is_the_value_at_zero_of_the_polynomial() -> None:
    coefficient = int.from_bytes(seeded_bytes(5)(48), "big") % PRIME
    shares = split((7).to_bytes(32, "big"), 2, [1, 9], seeded_bytes(5))
    assert int.from_bytes(shares[9], "big") == (7 + 9 * coefficient) % PRIME


def test_shares_of_different_secrets_do_not_pass_for_one_where_they_leave_the_range() -> None:
    high = (PRIME - 1).to_bytes(SHARE_BYTES, "big")
    assert combine({1: high}, 1) is None
    assert combine({1: b"short"}, 1) is None
    assert combine({1: (2**256).to_bytes(SHARE_BYTES, "big")}, 1) is None
    assert combine({1: (2**256 - 1).to_bytes(SHARE_BYTES, "big")}, 1) == b"\xff" * 32


@pytest.mark.parametrize(
    ("secret", "threshold", "points"),
    [
        (b"short", 1, [1]),
        (bytes(32), 3, [1, 2]),
        (bytes(32), 0, [1]),
        (bytes(32), 2, [1, 1]),
        (bytes(32), 1, [0]),
        (bytes(32), 1, [PRIME]),
    ],
)
def test_a_mistaken_call_crashes_rather_than_shares_badly(secret: bytes, threshold: int, points: list[int]) -> None:
    with pytest.raises(InvariantError):
        split(secret, threshold, points, seeded_bytes(0))
