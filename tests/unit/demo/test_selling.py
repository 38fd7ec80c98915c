"""Sales by hand, called again and again."""

import pytest

from tillguard.demo.selling import RATE_MAX, first_number


@pytest.mark.parametrize("rate", [0.1, 10.0, 200.0, RATE_MAX])
def test_a_call_begins_beyond_the_numbers_of_the_one_that_ended_just_before(rate: float) -> None:
    begin_s, sales = 1_795_438_760.25, 2_000
    assert first_number(begin_s + sales / rate) >= first_number(begin_s) + sales
