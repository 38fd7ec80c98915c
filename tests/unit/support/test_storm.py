"""The storm's own parts: acts repeat by their seed, and the comparison finds each kind of fault."""

import random
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from contract.events import Label, Origin, Transaction
from support.storm_plan import ALTERATIONS, Flavour, Planner
from support.storm_proof import Faults, TableRow, faults, unproved

AT = datetime(2026, 5, 1, tzinfo=UTC)
ORIGIN = Origin(connector="storm", phase="stream", source="d.orders", position="x")
ROW = TableRow(1, AT, Decimal("12.30"), "EUR", "Zoë", "Gerät-1", 2, None)
SALE = Transaction(
    transaction_id="1",
    retailer="shop",
    event_time=AT,
    ingest_time=AT,
    amount_minor=1230,
    currency="EUR",
    origin=ORIGIN,
    customer="Zoë",
    device="Gerät-1",
    basket_items=2,
)
NOTHING = Faults([], [], [])


def label(identity: str, *, fraud: bool) -> Label:
    return Label(
        transaction_id=identity,
        retailer="shop",
        fraud=fraud,
        source="review",
        label_time=AT,
        ingest_time=AT,
        origin=ORIGIN,
    )


def found(
    table: list[TableRow],
    transactions: list[Transaction],
    labels: list[Label] | None = None,
    *,
    announced: set[str] = frozenset(),  # type: ignore[assignment]
    deleted: set[str] = frozenset(),  # type: ignore[assignment]
    late: set[str] = frozenset(),  # type: ignore[assignment]
) -> Faults:
    return faults(table, transactions, labels or [], announced=announced, deleted=deleted, late_labels=late)


def test_a_table_and_a_topic_that_agree_have_no_faults_and_twice_is_once() -> None:
    assert found([ROW], [SALE, SALE]) == NOTHING
    labelled = ROW._replace(is_fraud=1)
    assert found([labelled], [SALE], [label("1", fraud=False), label("1", fraud=True)]) == NOTHING


def test_a_missing_row_or_label_is_lost_unless_it_was_announced() -> None:
    assert len(found([ROW], []).lost) == 1
    assert found([ROW], [], announced={"1"}) == NOTHING
    labelled = ROW._replace(is_fraud=1)
    assert len(found([labelled], [SALE]).lost) == 1
    assert len(found([labelled], [SALE], [label("1", fraud=True), label("1", fraud=False)]).lost) == 1
    assert found([labelled], [SALE], late={"1"}) == NOTHING


@pytest.mark.parametrize(
    "change",
    [{"amount_minor": 1231}, {"customer": "Zoe"}, {"device": None}, {"basket_items": 3}, {"currency": "USD"}, {"event_time": AT.replace(hour=1)}],
)  # fmt: skip
def test_one_other_value_is_told_with_its_field(change: dict[str, object]) -> None:
    (sentence,) = found([ROW], [SALE, msgspec.structs.replace(SALE, **change)]).different
    assert next(iter(change)) in sentence


def test_what_never_stood_in_the_table_is_a_phantom_and_what_was_deleted_is_none() -> None:
    assert len(found([], [SALE]).phantom) == 1
    assert len(found([], [], [label("1", fraud=True)]).phantom) == 1
    assert found([], [SALE], deleted={"1"}) == NOTHING


def test_an_agreement_over_no_rows_or_over_letters_alone_proves_nothing() -> None:
    assert "no row" in unproved([], [], set())
    assert "no row" in unproved([ROW], [], {"1"})
    assert "0 of 1" in unproved([ROW], [], set())
    assert unproved([ROW], [SALE], set()) == ""


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_a_seed_repeats_its_acts_and_every_kind_is_among_them(flavour: Flavour) -> None:
    acts, again = ([*Planner(flavour, random.Random(5)).acts(120)] for _ in range(2))
    times = [
        [(a.settings, [text for text, _ in a.statements], a.ids, a.ending) for a in each] for each in (acts, again)
    ]
    assert times[0] == times[1]
    assert {act.ending for act in acts} == {"commit", "rollback", "xa commit", "xa rollback", "xa left"}
    texts = {text for act in acts for text, _ in act.statements}
    assert {there for there, _ in ALTERATIONS} & texts
    for word in ("SAVEPOINT", "UPDATE", "DELETE", "JSON_SET", "FLUSH", "binlog_row_metadata"):
        assert any(word in text for text in texts), word
    assert any(act.file_rows for act in acts)
    numbers = [identity for act in acts for identity in act.ids + act.undone]
    assert len(numbers) == len(set(numbers))
