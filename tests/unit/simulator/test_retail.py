from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from simulator import identities
from simulator.profile import Profile
from simulator.retail import HistoryPlan, Retail
from simulator.sales import KINDS, Labelled, Sale

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
OPENED = NOW - timedelta(days=28)
PLAN = HistoryPlan(rows=6_000)


def retail(seed: int = 7) -> Retail:
    return Retail(Profile(customers=1_500), seed, OPENED, "A-")


@pytest.fixture(scope="module")
def shop() -> Retail:
    """Drawing its customers takes longer than their sales."""
    return retail()


@pytest.fixture(scope="module")
def history(shop: Retail) -> list[Labelled]:
    return shop.simulate_history(NOW, PLAN)


@pytest.fixture(scope="module")
def untold() -> Retail:
    """Another one, of which no history is drawn before its live phase."""
    return retail()


@pytest.fixture(scope="module")
def live(untold: Retail) -> list[Labelled]:
    return untold.simulate_live(NOW, 30.0, 2_000, 0.06, 6_001)


def values(sales: list[Labelled], field: str, *, fraud: bool) -> set[Any]:
    return {getattr(entry.sale, field) for entry in sales if entry.truth.fraud is fraud}


def test_the_same_seed_gives_the_same_sales(history: list[Labelled], live: list[Labelled], untold: Retail) -> None:
    assert untold.simulate_history(NOW, PLAN) == history


def test_another_seed_gives_other_sales(history: list[Labelled]) -> None:
    assert retail(8).simulate_history(NOW, PLAN) != history


def test_live_does_not_depend_on_whether_a_history_was_drawn(
    shop: Retail, history: list[Labelled], live: list[Labelled]
) -> None:
    assert shop.simulate_live(NOW, 30.0, 2_000, 0.06, 6_001) == live


def test_sales_by_hand_differ_from_call_to_call_and_let_recent_customers_rest(shop: Retail) -> None:
    genuine = [
        values(shop.simulate_more(NOW, 10.0, 200, 0.06, first_number=n, resting=set()), "customer", fraud=False)
        for n in (1, 2)
    ]
    assert genuine[0] != genuine[1]
    later = shop.simulate_more(NOW, 10.0, 200, 0.06, first_number=3, resting=genuine[0])
    assert not values(later, "customer", fraud=False) & genuine[0]
    everybody = set(shop.people.ids)
    assert len(shop.simulate_more(NOW, 10.0, 200, 0.06, first_number=4, resting=everybody)) == 200


def test_a_history_has_the_rows_asked_for_in_time_order_within_its_span(history: list[Labelled]) -> None:
    times = [entry.sale.event_time for entry in history]
    assert len(history) == 6_000
    assert times == sorted(times)
    assert times[0] >= OPENED
    assert times[-1] <= NOW


def test_live_sales_fill_their_span_and_continue_the_numbers(live: list[Labelled]) -> None:
    times = [entry.sale.event_time for entry in live]
    assert len(live) == 2_000
    assert times == sorted(times)
    assert times[0] >= NOW
    assert times[-1] <= NOW + timedelta(seconds=30)
    assert live[0].sale.transaction_id == "A-00006001"


def test_transaction_ids_never_repeat(history: list[Labelled], live: list[Labelled]) -> None:
    ids = [entry.sale.transaction_id for entry in history + live]
    assert len(set(ids)) == len(ids)


def test_fraud_is_rare_in_history_and_every_kind_occurs_alike(history: list[Labelled]) -> None:
    kinds = Counter(entry.truth.kind for entry in history)
    frauds = len(history) - kinds.pop(None)
    assert 0.01 < frauds / len(history) < 0.035
    assert set(kinds) == set(KINDS)
    assert max(kinds.values()) - min(kinds.values()) <= PLAN.rushes + 1


def test_the_live_phase_has_the_fraud_share_asked_for(live: list[Labelled]) -> None:
    kinds = Counter(entry.truth.kind for entry in live)
    assert len(live) - kinds[None] == 120
    assert [kinds[kind] for kind in KINDS] == [24] * 5


def test_every_label_of_the_history_is_known_when_it_ends_and_none_before_the_sale(history: list[Labelled]) -> None:
    assert all(entry.sale.event_time <= entry.truth.known_at <= NOW for entry in history)


def test_a_kind_stands_only_beside_a_fraud(history: list[Labelled]) -> None:
    assert all((entry.truth.kind is not None) is entry.truth.fraud for entry in history)


@pytest.mark.parametrize("field", ["channel", "payment_method", "category", "country_ip", "country_card", "coupon"])
def test_no_word_of_a_category_gives_a_fraud_away(history: list[Labelled], field: str) -> None:
    assert values(history, field, fraud=True) <= values(history, field, fraud=False)


@pytest.mark.parametrize("field", ["customer", "card", "device", "address", "email"])
def test_identities_of_frauds_look_like_those_of_customers(history: list[Labelled], field: str) -> None:
    def shapes(*, fraud: bool) -> set[object]:
        return {
            isinstance(v, str) and (len(v) if v.isalnum() else "mixed") for v in values(history, field, fraud=fraud)
        }

    assert shapes(fraud=True) <= shapes(fraud=False) | {False}


def test_amounts_of_genuine_sales_and_frauds_overlap(history: list[Labelled]) -> None:
    genuine = np.array([entry.sale.amount_minor for entry in history if not entry.truth.fraud])
    fraud = np.array([entry.sale.amount_minor for entry in history if entry.truth.fraud])
    low, high = np.quantile(genuine, [0.005, 0.995])
    assert 0.5 < ((fraud > low) & (fraud < high)).mean() < 1.0


def test_genuine_customers_also_use_new_devices_and_travel(history: list[Labelled]) -> None:
    people = retail().people
    known = {device for devices in people.devices for device in devices}
    online = [e.sale for e in history if not e.truth.fraud and e.sale.device is not None]
    fresh = sum(sale.device not in known for sale in online) / len(online)
    abroad = sum(sale.country_ip != sale.country_billing for sale in online) / len(online)
    assert 0.01 < fresh < 0.06
    assert 0.02 < abroad < 0.25


def test_amounts_discounts_and_sessions_are_within_the_contract(history: list[Labelled], live: list[Labelled]) -> None:
    def sound(sale: Sale) -> bool:
        opened = sale.customer_since
        return (
            0 < sale.amount_minor <= 9_000_00
            and (sale.discount_minor or 0) >= 0
            and (sale.session_s is None or sale.session_s > 0)
            and opened is not None
            and opened < sale.event_time
        )

    assert all(sound(entry.sale) for entry in history + live)


def test_a_genuine_customer_comes_once_in_a_rush(live: list[Labelled]) -> None:
    genuine = Counter(entry.sale.customer for entry in live if not entry.truth.fraud)
    assert max(genuine.values()) <= 2  # 1,880 sales over 1,500 customers


def test_card_testing_uses_many_cards_from_few_accounts(history: list[Labelled]) -> None:
    tests = [entry.sale for entry in history if entry.truth.kind == "card_testing"]
    assert len({sale.card for sale in tests}) > 2 * len({sale.customer for sale in tests})


def test_an_account_takeover_strikes_known_customers_from_unknown_devices(history: list[Labelled]) -> None:
    people = retail().people
    known = {device for devices in people.devices for device in devices}
    taken = [entry.sale for entry in history if entry.truth.kind == "account_takeover"]
    assert {sale.customer for sale in taken} <= set(people.ids)
    assert not {sale.device for sale in taken} & known


def test_card_numbers_pass_the_luhn_check() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        digits = [int(digit) for digit in reversed(identities.draw_card(rng))]
        total = sum(digits[0::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
        assert len(digits) == 16
        assert total % 10 == 0


def test_senseless_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="at least a day"):
        retail().simulate_history(OPENED + timedelta(hours=1), PLAN)
    with pytest.raises(ValueError, match="negative"):
        Retail(Profile(), -1, OPENED, "A-")
    with pytest.raises(ValueError, match="10 customers"):
        Profile(customers=3)


def test_a_live_phase_without_rows_is_empty() -> None:
    assert retail().simulate_live(NOW, 30.0, 0, 0.06, 1) == []
