"""Feature vectors: what each number means, and that it never depends on its neighbours in a batch."""

import math
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.clock import to_epoch_ms
from contract.events import Origin
from contract.features import get_feature_names
from contract.windows import ENTITY_NAMES, hash_counterpart
from scoring.features import (
    build_window_updates,
    compute_features,
    compute_quantities,
    encode_entities,
    hash_content,
    list_aggregate_columns,
    list_event_times_ms,
)
from support.workbench import START, transaction

COLUMNS = list_aggregate_columns()


def aggregates(**values: float) -> np.ndarray:
    """One row of what a store answers; NaN but for `values`."""
    row = np.full((1, len(COLUMNS)), np.nan)
    for name, value in values.items():
        row[0, COLUMNS.index(name)] = value
    return row


def vector(one: object, row: np.ndarray | None = None, amount: int = 5_000, currency: str = "EUR") -> dict[str, float]:
    table = compute_quantities([one], [amount], aggregates() if row is None else row, base_currency=currency)  # type: ignore[list-item]
    return dict(zip(get_feature_names(), table[0].tolist(), strict=True))


def test_every_feature_of_the_schema_is_filled_from_an_aggregate_or_the_transaction() -> None:
    full = np.arange(2.0, 2.0 + len(COLUMNS))[None, :]
    one = transaction(
        basket_items=2, discount_minor=0, session_s=9.0, customer_since=START - timedelta(days=3), channel="web",
        payment_method="card", country_billing="DE", country_delivery="DE", country_ip="DE", country_card="FR",
    )  # fmt: skip
    missing = [name for name, value in vector(one, full, amount=1).items() if math.isnan(value)]
    assert missing == []


def test_sums_leave_in_major_units_of_the_base_currency_and_times_in_seconds() -> None:
    row = aggregates(card_sum_1h=12_345, card_count_1h=5, card_since_last_ms=1_500, device_since_card_ms=250)
    euro, yen = vector(transaction(), row), vector(transaction(), row, currency="JPY")
    assert (euro["card_sum_1h"], yen["card_sum_1h"]) == (123.45, 12_345)
    assert euro["card_mean_1h"] == 24.69
    assert (euro["card_since_last"], euro["device_since_card"]) == (1.5, 0.25)
    assert (euro["amount"], yen["amount"]) == (50.0, 5_000)


@pytest.mark.parametrize(
    ("count", "total", "ratio"),
    [(1, 5_000, None), (2, 5_000, None), (2, 6_000, 5.0), (3, 15_000, 1.0), (float("nan"), float("nan"), None)],
)
def test_the_amount_is_compared_with_the_earlier_transactions_only(
    count: float, total: float, ratio: float | None
) -> None:
    found = vector(transaction(), aggregates(customer_count_30d=count, customer_sum_30d=total))["customer_amount_ratio"]
    assert math.isnan(found) if ratio is None else found == pytest.approx(ratio)


def test_an_entity_that_is_not_named_leaves_only_missing_values() -> None:
    found = vector(transaction())
    assert all(math.isnan(value) for name, value in found.items() if name.startswith("coupon_"))


def test_what_the_transaction_does_not_say_is_missing_and_not_zero() -> None:
    found = vector(transaction(category=None))
    unknown = ("discount_share", "basket_items", "amount_per_item", "session", "account_age", "category", "channel",
               "country_billing_ip_differ", "country_card_ip_differ")  # fmt: skip
    assert all(math.isnan(found[name]) for name in unknown)


def test_static_features_follow_their_definition() -> None:
    sunday_night = datetime(2026, 11, 1, 3, 0, tzinfo=UTC)
    found = vector(
        transaction(
            event_time=sunday_night, basket_items=4, discount_minor=15_000, session_s=2.5, customer_since=sunday_night - timedelta(hours=12),
            country_billing="DE", country_delivery="AT", country_ip="DE", country_card="US", category="toys",
        )
    )  # fmt: skip
    assert (found["weekday"], found["weekend"], found["night"]) == (6, 1, 1)
    assert (found["hour_sin"], found["hour_cos"]) == pytest.approx((math.sin(math.pi / 4), math.cos(math.pi / 4)))
    assert (found["discount_share"], found["amount_per_item"], found["session"]) == (0.75, 12.5, 2.5)
    assert found["account_age"] == 0.5
    assert found["country_billing_delivery_differ"] == 1
    assert found["country_billing_ip_differ"] == 0
    assert (found["country_billing_card_differ"], found["country_card_ip_differ"]) == (1, 1)
    assert found["category"] == zlib.crc32(b"toys") % 32


def test_a_free_transaction_and_an_empty_basket_divide_by_nothing() -> None:
    found = vector(transaction(amount_minor=0, discount_minor=0, basket_items=0), amount=0)
    assert found["discount_share"] == 0
    assert math.isnan(found["amount_per_item"])


def test_an_account_opened_after_the_payment_has_no_negative_age() -> None:
    assert vector(transaction(customer_since=START + timedelta(days=1)))["account_age"] == 0


def test_an_offset_from_utc_changes_nothing() -> None:
    here = transaction()
    there = transaction(event_time=here.event_time.astimezone(datetime.strptime("+0530", "%z").tzinfo))
    assert np.array_equal(
        compute_features([here], [1], aggregates(), base_currency="EUR"),
        compute_features([there], [1], aggregates(), base_currency="EUR"),
        equal_nan=True,
    )
    assert hash_content(here, to_epoch_ms(here.event_time)) == hash_content(there, to_epoch_ms(there.event_time))


@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_a_row_has_the_same_bits_alone_and_in_any_batch(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    batch = [
        transaction(
            number,
            amount_minor=int(generator.integers(0, 10**6)),
            basket_items=int(generator.integers(0, 9)) if generator.random() < 0.7 else None,
            session_s=float(generator.exponential(60)) if generator.random() < 0.7 else None,
            category=str(generator.choice(["toys", "shoes", "é"])),
        )
        for number in range(count)
    ]
    amounts = [one.amount_minor for one in batch]
    rows = generator.integers(0, 10**7, (count, len(COLUMNS))).astype(np.float64)
    rows[generator.random(rows.shape) < 0.2] = np.nan
    together = compute_features(batch, amounts, rows, base_currency="EUR")
    alone = [
        compute_features([one], [amount], row[None, :], base_currency="EUR")
        for one, amount, row in zip(batch, amounts, rows, strict=True)
    ]
    assert together.dtype == np.float32
    assert together.tobytes() == np.concatenate(alone).tobytes()


def test_a_window_update_names_entities_in_the_order_of_the_contract() -> None:
    one = transaction(coupon="c10", aliases={"card": "k0:old"})
    (found,) = build_window_updates([one], [123], list_event_times_ms([one]))
    named = dict(zip(ENTITY_NAMES, found.entities, strict=True))
    assert named == {
        "customer": "c-1", "card": "k1:card-1", "device": "d-1", "ip": None, "email": None, "address": None, "coupon": "c10",
        "terminal": None,
    }  # fmt: skip
    assert found.aliases == tuple("k0:old" if name == "card" else None for name in ENTITY_NAMES)
    assert (found.amount_base_minor, found.event_time_ms) == (123, to_epoch_ms(START) + 1_000)


def test_the_digest_is_the_same_for_the_same_row_however_it_came() -> None:
    def of(**changes: Any) -> bytes:
        one = transaction(**changes)
        return hash_content(one, to_epoch_ms(one.event_time))

    again = Origin(connector="other", phase="snapshot", source="shop.orders", position="binlog.9:9")
    assert of() == of(ingest_time=START + timedelta(days=1), origin=again)
    assert of() == of(card="k2:card-1", aliases={"card": "k1:card-1"})
    old, new = "k1.abcdefghijklmnopqrstuvwx", "key-2.ABCDEFGHIJKLMNOPQRSTUVWX"
    for name in ("customer", "device", "coupon", "terminal"):
        assert of(**{name: old}) == of(**{name: new}, aliases={name: old}) != of(**{name: "plain"})
    changes: list[dict[str, Any]] = [
        {"amount_minor": 5_001}, {"currency": "USD"}, {"event_time": START}, {"customer": "c-9"}, {"card": None},
        {"category": None}, {"customer_since": START}, {"basket_items": 1}, {"session_s": 1.0}, {"device": None},
    ]  # fmt: skip
    assert len({of(), *(of(**change) for change in changes)}) == 1 + len(changes)


def test_entities_of_a_record_are_hashes_of_what_they_were_called_before_their_key_rotated() -> None:
    def held(**changes: Any) -> list[tuple[str, bytes]]:
        one = transaction(customer="c-1", card="k1:card-1", device=None, **changes)
        (found,) = build_window_updates([one], [123], list_event_times_ms([one]))
        entities = encode_entities(found)
        hashes = [entities[at : at + 8] for at in range(2, len(entities), 8)]
        mask = int.from_bytes(entities[:2], "little")
        return list(zip([name for i, name in enumerate(ENTITY_NAMES) if mask >> i & 1], hashes, strict=True))

    plain = [("customer", hash_counterpart(b"c-1")), ("card", hash_counterpart(b"k1:card-1"))]
    assert held(aliases=None) == plain
    assert held(aliases={"card": "k0:old"}) == [plain[0], ("card", hash_counterpart(b"k0:old"))]
    assert held(aliases={"device": "k0:gone"}) == plain, "an entity that is not named has no name before"
