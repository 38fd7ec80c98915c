from datetime import UTC, datetime, timedelta

from connectors.simulator.sales import KINDS
from tillguard.demo.material import Amounts, Simulated

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
AMOUNTS = Amounts(rate=50.0, transactions=1_001, history_rows=1_200)


def simulated(seed: int = 7) -> Simulated:
    return Simulated(seed, AMOUNTS, NOW, ("A-", "B-"))


def test_transactions_are_shared_out_between_the_two_retailers() -> None:
    first, second = simulated().live(NOW)
    assert (len(first), len(second)) == (501, 500)
    assert {entry.sale.transaction_id[:2] for entry in first} == {"A-"}
    assert {entry.sale.transaction_id[:2] for entry in second} == {"B-"}


def test_the_two_retailers_share_no_customer_card_or_device() -> None:
    first, second = simulated().histories()
    for field in ("customer", "card", "device"):
        mine, theirs = ({getattr(e.sale, field) for e in half} - {None} for half in (first, second))
        assert len(mine & theirs) <= len(mine) * 0.01  # seven digits of a customer number may meet by chance


def test_live_offsets_follow_the_sales_own_times_at_the_rate_asked_for() -> None:
    material = simulated()
    first, _ = material.live(NOW)
    offsets = material.offsets_s(first, NOW)
    assert offsets == sorted(offsets)
    assert 0 <= offsets[0] < 1
    assert AMOUNTS.seconds - 1 < offsets[-1] <= AMOUNTS.seconds == 1_001 / 50


def test_history_ends_before_the_live_phase_and_ids_go_on() -> None:
    material = simulated()
    history, _ = material.histories()
    live, _ = material.live(NOW + timedelta(seconds=1))
    assert history[-1].sale.event_time <= NOW < live[0].sale.event_time
    assert int(live[0].sale.transaction_id[2:]) == len(history) + 1


def test_every_kind_of_fraud_is_in_the_live_phase_of_both() -> None:
    for half in simulated().live(NOW):
        assert {entry.truth.kind for entry in half} - {None} == set(KINDS)
