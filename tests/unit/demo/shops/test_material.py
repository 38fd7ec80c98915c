import functools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from demo.shops.material import Amounts, FromFile, Simulated
from simulator.sales import KINDS, NEW_KINDS

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
AMOUNTS = Amounts(rate=50.0, transactions=1_001, history_rows=1_200)


@functools.cache
def simulated() -> Simulated:
    """Drawn once: populations take a second, and what is sold does not depend on what was asked for before."""
    return Simulated(7, AMOUNTS, NOW, ("A-", "B-"))


def test_transactions_are_shared_out_between_the_two_retailers() -> None:
    first, second = simulated().make_live(NOW)
    assert (len(first), len(second)) == (501, 500)
    assert {entry.sale.transaction_id[:2] for entry in first} == {"A-"}
    assert {entry.sale.transaction_id[:2] for entry in second} == {"B-"}


def test_the_two_retailers_share_no_customer_card_or_device() -> None:
    first, second = simulated().make_histories()
    for field in ("customer", "card", "device"):
        mine, theirs = ({getattr(e.sale, field) for e in half} - {None} for half in (first, second))
        assert len(mine & theirs) <= len(mine) * 0.01  # seven digits of a customer number may meet by chance


def test_live_offsets_follow_the_sales_own_times_at_the_rate_asked_for() -> None:
    material = simulated()
    first, _ = material.make_live(NOW)
    offsets = material.compute_offsets_s(first, NOW)
    assert offsets == sorted(offsets)
    assert 0 <= offsets[0] < 1
    assert AMOUNTS.seconds - 1 < offsets[-1] <= AMOUNTS.seconds == 1_001 / 50


def test_history_ends_before_the_live_phase_and_ids_go_on() -> None:
    material = simulated()
    history, _ = material.make_histories()
    live, _ = material.make_live(NOW + timedelta(seconds=1))
    assert history[-1].sale.event_time <= NOW < live[0].sale.event_time
    assert int(live[0].sale.transaction_id[2:]) == len(history) + 1


def test_every_kind_of_fraud_is_in_the_live_phase_of_both() -> None:
    for half in simulated().make_live(NOW):
        assert {entry.truth.kind for entry in half} - {None} == set(KINDS)


def test_the_new_fraud_is_in_no_history_and_no_live_phase_and_begins_when_it_is_asked_for() -> None:
    material = simulated()
    earlier = [*material.make_histories(), *material.make_live(NOW)]
    assert not {entry.truth.kind for half in earlier for entry in half} & set(NEW_KINDS)
    first, _ = material.make_live(NOW)
    besides = dict.fromkeys(NEW_KINDS, 0.1)
    later = [material.sell_later(NOW, 5.0, 200, besides=besides, sold=sold, resting=set()) for sold in (0, 200)]
    for sales in later:
        assert len(sales) == 200
        assert sum(entry.truth.kind in NEW_KINDS for entry in sales) == 20
        assert {entry.truth.kind for entry in sales if entry.truth.fraud} - set(NEW_KINDS) <= set(KINDS)
    ids = [entry.sale.transaction_id for sales in (first, *later) for entry in sales]
    assert len(set(ids)) == len(ids)
    assert material.sell_later(NOW, 5.0, 200, besides=besides, sold=0, resting=set()) == later[0]


@pytest.mark.parametrize(("days", "delayed"), [(30, True), (8, False)])
def test_the_history_of_a_file_holds_what_was_known_at_its_end_unless_that_is_next_to_nothing(
    tmp_path: Path, days: int, delayed: bool
) -> None:
    file = tmp_path / "payments.csv"
    lines = ["TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD,TX_FRAUD_SCENARIO"]
    begin = datetime(2018, 9, 1, tzinfo=UTC)
    lines += [
        f"{number},{begin + timedelta(hours=6 * number):%Y-%m-%d %H:%M:%S},{number % 5},{number},9.5,0,0"
        for number in range(4 * days)
    ]
    file.write_text("\n".join(lines) + "\n")
    material = FromFile(file, Amounts(10, 8, 0), None, None, ("A-", "B-"))
    for history in material.make_histories():
        end = material.get_known_by(history)
        assert end == (history[-1].sale.event_time if delayed else None)
    first, _ = simulated().make_histories()
    assert simulated().get_known_by(first) is None
