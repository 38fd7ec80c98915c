from datetime import UTC, datetime, timedelta

from backoffice.projection.labels import find_holding
from contract.events import Label, Origin

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
ORIGIN = Origin(connector="orders", phase="stream", source="shop.orders", position="1")


def label(hours: int, *, fraud: bool) -> Label:
    return Label(
        transaction_id="t-1",
        retailer="acme",
        fraud=fraud,
        source="review",
        label_time=NOON + timedelta(hours=hours),
        ingest_time=NOON,
        origin=ORIGIN,
    )


def test_of_the_labels_that_exist_already_the_last_one_holds() -> None:
    labels = [label(-2, fraud=True), label(-1, fraud=False), label(-1, fraud=True), label(5, fraud=False)]
    assert find_holding(labels, NOON) == labels[2]
    assert find_holding(labels, NOON + timedelta(days=1)) == labels[3]


def test_before_its_time_there_is_no_label() -> None:
    assert find_holding([label(1, fraud=True)], NOON) is None
    assert find_holding([], NOON) is None
