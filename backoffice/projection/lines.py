"""Transactions as lists show them: a page's rows, with what stands in the other tables, in two more statements."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from backoffice.projection.results import KnownTransaction, TransactionLine
from backoffice.projection.tables import LABELS, RESOLUTIONS, TRANSACTIONS, VERDICTS
from contract.events import Label, Resolution, Transaction
from contract.verdicts import Verdict

_decode_transaction = msgspec.json.Decoder(Transaction).decode
_decode_label = msgspec.json.Decoder(Label).decode
decode_verdict = msgspec.json.Decoder(Verdict).decode
decode_resolution = msgspec.json.Decoder(Resolution).decode


def choose_ids(table: sa.Table, retailer: str, ids: Sequence[str]) -> sa.ColumnElement[bool]:
    """The rows of these transactions."""
    return (table.c.retailer == retailer) & table.c.transaction_id.in_(ids)


def load_lines(connection: sa.Connection, retailer: str, ids: Sequence[str]) -> tuple[TransactionLine, ...]:
    """A line for each id that has one, in the order of `ids`."""
    if not ids:
        return ()
    c, v = TRANSACTIONS.c, VERDICTS.c
    same = (v.retailer == c.retailer) & (v.transaction_id == c.transaction_id) & (v.revision == c.revision)
    joined = TRANSACTIONS.outerjoin(VERDICTS, same)
    columns = (c.transaction_id, c.document, c.base_minor, c.loss_minor, c.case_state, v.document.label("verdict"))
    rows = connection.execute(
        sa.select(*columns).select_from(joined).where(choose_ids(TRANSACTIONS, retailer, ids))
    ).all()
    labels = load_labels(connection, retailer, ids)
    lines = {row.transaction_id: _make_line(row, labels.get(row.transaction_id, ())) for row in rows}
    return tuple(lines[each] for each in ids if each in lines)


def load_labels(connection: sa.Connection, retailer: str, ids: Sequence[str]) -> dict[str, tuple[Label, ...]]:
    """Each transaction's labels, in the order in which they overrule each other."""
    c = LABELS.c
    found: dict[str, tuple[Label, ...]] = {}
    chosen = sa.select(c.transaction_id, c.document).where(choose_ids(LABELS, retailer, ids))
    for row in connection.execute(chosen.order_by(c.label_ms, c.appended_ms, c.offset)):
        found[row.transaction_id] = (*found.get(row.transaction_id, ()), _decode_label(row.document))
    return found


def load_known(connection: sa.Connection, retailer: str, transaction_id: str) -> KnownTransaction | None:
    """Everything of one transaction; None where nothing was told of it but what came alone, such as a label."""
    lines = load_lines(connection, retailer, [transaction_id])
    if not lines:
        return None
    revisions = VERDICTS.select().where(choose_ids(VERDICTS, retailer, [transaction_id])).order_by(VERDICTS.c.revision)
    resolutions = RESOLUTIONS.select().where(choose_ids(RESOLUTIONS, retailer, [transaction_id]))
    in_order = resolutions.order_by(RESOLUTIONS.c.resolved_ms, RESOLUTIONS.c.resolution_id)
    return KnownTransaction(
        line=lines[0],
        verdicts=tuple(decode_verdict(row.document) for row in connection.execute(revisions)),
        resolutions=tuple(decode_resolution(row.document) for row in connection.execute(in_order)),
    )


def _make_line(row: Any, labels: tuple[Label, ...]) -> TransactionLine:
    return TransactionLine(
        transaction_id=row.transaction_id,
        transaction=None if row.document is None else _decode_transaction(row.document),
        base_minor=row.base_minor,
        verdict=None if row.verdict is None else decode_verdict(row.verdict),
        expected_loss_minor=row.loss_minor,
        case=row.case_state,
        labels=labels,
    )
