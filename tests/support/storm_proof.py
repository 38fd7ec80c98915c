"""What must hold after a storm: table and topics say the same, row by row and value by value. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from contract.events import Label, Transaction


class TableRow(NamedTuple):
    """A row as a session in UTC reads it at the end."""

    id: int
    placed_at: datetime
    total: Decimal
    currency: str
    customer: str
    device: str
    items: int
    is_fraud: int | None


class Faults(NamedTuple):
    """Each a sentence per row."""

    lost: list[str]
    different: list[str]
    phantom: list[str]


def faults(
    table: Iterable[TableRow],
    transactions: Sequence[Transaction],
    labels: Sequence[Label],
    *,
    announced: AbstractSet[str],
    deleted: AbstractSet[str],
    late_labels: AbstractSet[str],
) -> Faults:
    """Compares.

    Args:
        table: What stands in the table.
        transactions: Everything on the topic, in order.
        labels: Likewise, in order per transaction.
        announced: Keys that dead letters or other loud words account for.
        deleted: Rows that stood in the table and were deleted.
        late_labels: Rows whose label may be of an earlier moment (their last change was announced only).
    """
    rows = {str(row.id): row for row in table}
    seen: dict[str, list[Transaction]] = defaultdict(list)
    for each in transactions:
        seen[each.transaction_id].append(each)
    told: dict[str, bool] = {label.transaction_id: label.fraud for label in labels}
    lost = [f"{identity}: in the table, not on the topic" for identity in rows.keys() - seen.keys() - announced]
    lost += [
        f"{identity}: labelled {row.is_fraud} in the table, {told.get(identity)} on the topic"
        for identity, row in rows.items()
        if row.is_fraud is not None
        and told.get(identity) != bool(row.is_fraud)
        and identity not in announced | late_labels
    ]
    different = [
        f"{identity}: {', '.join(found)}"
        for identity in rows.keys() & seen.keys()
        if (found := sorted({word for each in seen[identity] for word in _differences(rows[identity], each)}))
    ]
    strangers = (seen.keys() | told.keys()) - rows.keys() - deleted
    phantom = [f"{identity}: on a topic, never in the table" for identity in strangers]
    return Faults(sorted(lost), sorted(different), sorted(phantom))


def _differences(row: TableRow, transaction: Transaction) -> list[str]:
    wanted: Mapping[str, object] = {
        "event_time": row.placed_at,
        "amount_minor": int(row.total * 100),
        "currency": row.currency,
        "customer": row.customer,
        "device": row.device,
        "basket_items": row.items,
    }
    return [
        f"{name} is {getattr(transaction, name)!r} instead of {value!r}"
        for name, value in wanted.items()
        if getattr(transaction, name) != value
    ]


def unproved(table: Iterable[TableRow], transactions: Iterable[Transaction], loud: AbstractSet[str]) -> str:
    """Why an agreement of table and topic would prove nothing; empty where it proves something.

    Args:
        table: What stands in the table.
        transactions: Everything on the topic.
        loud: Rows that the storm wrote in a way that a reader can only announce.
    """
    readable = {str(row.id) for row in table} - loud
    read = readable & {each.transaction_id for each in transactions}
    if not readable:
        return "the storm wrote no row that can be read"
    return (
        ""
        if 2 * len(read) > len(readable)
        else f"only {len(read)} of {len(readable)} readable rows became transactions"
    )
