from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from bson import Decimal128
from pymongo.errors import AutoReconnect

from connectors.config.connector_file import parse
from connectors.mapping.mapper import Mapper
from connectors.ports import Row
from contract.codec import Admission
from contract.dead_letters import DeadLetter
from contract.events import Label, Transaction
from contract.tokens import Tokeniser
from demo.shops import mongo_shop, mysql_shop
from demo.shops.shop import Fault
from simulator.profile import Profile
from simulator.retail import HistoryPlan, Retail
from simulator.sales import Labelled, Sale, Truth

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
OPENED = NOW - timedelta(days=3)
PERSONAL = ("card", "ip", "email", "phone", "address")
PLAIN = (
    "transaction_id", "amount_minor", "currency", "customer", "device", "coupon", "terminal", "channel", "payment_method",
    "category", "country_billing", "country_delivery", "country_ip", "country_card", "basket_items", "discount_minor", "session_s",
)  # fmt: skip


@pytest.fixture(scope="module")
def history() -> list[Labelled]:
    retail = Retail(Profile(customers=300), 5, OPENED, "A-")
    return retail.simulate_history(NOW - timedelta(seconds=5), HistoryPlan(rows=600, rushes=1))


def mysql_row(sale: Sale) -> dict[str, object]:
    """As the driver reads it back: decimals for DECIMAL columns."""
    row = mysql_shop.build_order(sale)
    return {
        name: Decimal(str(value)) if name in {"total", "voucher_amount"} and value is not None else value
        for name, value in row.items()
    }


def mapper(kind: str) -> Mapper:
    text = {
        "mysql": mysql_shop.CONNECTOR.format(
            retailer="shop", name="shop-orders", host="h", port=1, user='"u"', password='"p"', database="d", zone=mysql_shop.ZONE,
            channels=mysql_shop.CHANNEL_VALUES,
        ),
        "mongodb": mongo_shop.CONNECTOR.format(
            retailer="shop", name="shop-checkouts", host="h", port=1, database="d"
        ),
    }[kind]  # fmt: skip
    admission = Admission(retailer="shop", base_currency="EUR")
    return Mapper(parse(text, "demo.yaml"), admission, Tokeniser({"k1": b"0" * 32}, "k1"))


SHAPES: list[tuple[str, str, Callable[[Sale], dict[str, object]]]] = [
    ("mysql", "orders", mysql_row),
    ("mongodb", "checkouts", mongo_shop.build_checkout),
]


@pytest.mark.parametrize(("kind", "table", "shape"), SHAPES)
def test_every_sale_comes_out_of_its_database_shape_as_it_went_in(
    history: list[Labelled], kind: str, table: str, shape: Callable[[Sale], dict[str, object]]
) -> None:
    one = mapper(kind)
    for entry in history:
        sale = entry.sale
        (found,) = one.map_row(Row(table, "read", shape(sale), "c", "snapshot"), NOW)
        assert isinstance(found, Transaction)
        assert {name: getattr(found, name) for name in PLAIN} == {name: getattr(sale, name) for name in PLAIN}
        assert abs(found.event_time - sale.event_time) < timedelta(milliseconds=1)
        assert found.customer_since is not None
        assert sale.customer_since is not None
        assert abs(found.customer_since - sale.customer_since) < timedelta(seconds=1)


@pytest.mark.parametrize(("kind", "table", "shape"), SHAPES)
def test_personal_data_leaves_as_tokens_that_keep_people_apart(
    history: list[Labelled], kind: str, table: str, shape: Callable[[Sale], dict[str, object]]
) -> None:
    one = mapper(kind)
    pairs: dict[str, set[tuple[str | None, str | None]]] = {name: set() for name in PERSONAL}
    for entry in history:
        (found,) = one.map_row(Row(table, "read", shape(entry.sale), "c", "snapshot"), NOW)
        for name in PERSONAL:
            pairs[name].add((getattr(entry.sale, name), getattr(found, name)))
    for name in PERSONAL:
        assert len({raw for raw, _ in pairs[name]}) == len(pairs[name]) == len({token for _, token in pairs[name]})
        assert not {raw for raw, _ in pairs[name] if raw} & {token for _, token in pairs[name] if token}


@pytest.mark.parametrize(("kind", "table", "shape"), SHAPES)
def test_no_sale_carries_its_truth_into_the_table_of_sales(
    history: list[Labelled], kind: str, table: str, shape: Callable[[Sale], dict[str, object]]
) -> None:
    fraud = next(entry for entry in history if entry.truth.fraud)
    assert fraud.truth.kind is not None
    assert "fraud" not in str(shape(fraud.sale)).lower()
    assert fraud.truth.kind not in str(shape(fraud.sale))


FAULTS = [("mysql", "orders", mysql_row, fault) for fault in mysql_shop.FAULTS] + [
    ("mongodb", "checkouts", mongo_shop.build_checkout, fault) for fault in mongo_shop.FAULTS
]


@pytest.mark.parametrize(("kind", "table", "shape", "fault"), FAULTS)
def test_every_spoilt_row_becomes_the_dead_letter_it_is_meant_to(
    history: list[Labelled], kind: str, table: str, shape: Callable[[Sale], dict[str, object]], fault: Fault
) -> None:
    sale = history[-1].sale
    (found,) = mapper(kind).map_row(Row(table, "insert", fault.spoil(shape(sale)), "c", "stream"), NOW)
    assert isinstance(found, DeadLetter)
    assert (found.reason, found.key) == (fault.reason, sale.transaction_id)


@pytest.mark.parametrize("faults", [mysql_shop.FAULTS, mongo_shop.FAULTS])
def test_spoiling_leaves_the_row_itself_whole(history: list[Labelled], faults: tuple[Fault, ...]) -> None:
    row = (
        mysql_shop.build_order(history[0].sale)
        if faults is mysql_shop.FAULTS
        else mongo_shop.build_checkout(history[0].sale)
    )
    before = str(row)
    for fault in faults:
        assert str(fault.spoil(row)) != before
    assert str(row) == before


def test_a_chargeback_becomes_a_label_of_its_order(history: list[Labelled]) -> None:
    fraud = next(entry for entry in history if entry.truth.fraud)
    row = {"id": 1, **mysql_shop.build_chargeback(fraud.sale.transaction_id, fraud.truth)}
    (label,) = mapper("mysql").map_row(Row("chargebacks", "insert", row, "c", "stream"), NOW)
    assert isinstance(label, Label)
    assert (label.transaction_id, label.fraud, label.source, label.kind) == (
        fraud.sale.transaction_id, True, "chargeback", fraud.truth.kind,
    )  # fmt: skip
    assert abs(label.label_time - fraud.truth.known_at) < timedelta(milliseconds=1)


@pytest.mark.parametrize("is_fraud", [True, False])
def test_a_reviewed_document_becomes_a_transaction_and_its_label(history: list[Labelled], is_fraud: bool) -> None:
    entry = next(entry for entry in history if entry.truth.fraud is is_fraud)
    document = {**mongo_shop.build_checkout(entry.sale), "review": mongo_shop.build_review(entry.truth)}
    transaction, label = mapper("mongodb").map_row(Row("checkouts", "read", document, "c", "snapshot"), NOW)
    assert isinstance(transaction, Transaction)
    assert isinstance(label, Label)
    assert (label.transaction_id, label.fraud, label.kind) == (entry.sale.transaction_id, is_fraud, entry.truth.kind)


def test_money_is_exact_in_both_shapes() -> None:
    sale = Sale("x", NOW, 1_234_505, "EUR")
    assert mysql_shop.build_order(sale)["total"] == "12345.05"
    assert mongo_shop.build_checkout(sale)["amount"]["value"] == Decimal128("12345.05")


def test_local_times_follow_the_shops_own_clock() -> None:
    summer, winter = datetime(2026, 7, 1, 12, 0, 0, 123_456, tzinfo=UTC), datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert str(mysql_shop.convert_to_local(summer)) == "2026-07-01 14:00:00.123000"
    assert str(mysql_shop.convert_to_local(winter)) == "2026-01-01 13:00:00"
    assert mysql_shop.convert_to_local(None) is None


def test_a_document_holds_nothing_that_the_shop_does_not_know() -> None:
    document = mongo_shop.build_checkout(Sale("x", NOW, 100, "EUR", customer="1"))
    assert set(document) == {"_id", "placedAt", "amount", "customer"}


def test_a_review_is_written_again_where_the_driver_dropped_the_connection() -> None:
    class Checkouts:
        """A collection whose connection drops twice."""

        def __init__(self) -> None:
            self.calls: list[str] = []

        def update_one(self, chosen: dict[str, str], _: object) -> None:
            self.calls.append(chosen["_id"])
            if len(self.calls) < 3:
                raise AutoReconnect("dropped")

    shop, checkouts = object.__new__(mongo_shop.MongoShop), Checkouts()
    shop._checkouts = checkouts  # type: ignore[assignment]
    shop.write_labels({"a": Truth(True, None, NOW), "b": Truth(True, None, NOW)})
    assert checkouts.calls == ["a", "a", "a", "b"]
