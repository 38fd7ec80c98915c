"""What must hold after any number of crashes, each as a function that returns the faults it found, in words. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from connectors.mysql.position import parse_snapshot, parse_stream
from connectors.ports import Position
from contract.dead_letters import DeadLetter
from contract.events import Transaction
from contract.features import FeatureRecord, get_feature_names
from contract.money import convert_to_base_minor
from contract.settings import Settings
from contract.verdicts import Verdict
from scoring.features import build_window_updates, compute_features, list_event_times_ms
from support.crash_log import Entry
from support.crash_shop import Committed
from support.reference import aggregates


def verdicts_of(entries: Iterable[Entry]) -> dict[str, list[Verdict]]:
    """Verdicts by transaction, in the order in which they stand."""
    found: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in (msgspec.json.decode(entry.value, type=Verdict) for entry in entries):
        found[verdict.transaction_id].append(verdict)
    return dict(found)


def letters_of(entries: Iterable[Entry]) -> dict[str, set[str]]:
    """Reasons of dead letters by the row's key."""
    found: dict[str, set[str]] = defaultdict(set)
    for letter in (msgspec.json.decode(entry.value, type=DeadLetter) for entry in entries):
        found[letter.key or letter.position].add(letter.reason)
    return dict(found)


def unanswered(
    rows: Sequence[Committed], verdicts: Mapping[str, Sequence[Verdict]], letters: Mapping[str, set[str]]
) -> list[str]:
    """Good rows without a full verdict, bad ones without their dead letter, and answers to what was never asked."""
    faults = []
    for row in rows:
        full = any(verdict.revision >= 1 for verdict in verdicts.get(row.identity, ()))
        told = letters.get(row.identity, set())
        if row.fault is None and (not full or told):
            faults.append(f"{row.identity}: full verdict {full}, dead letters {told}")
        elif row.fault is not None and (told != {row.fault} or row.identity in verdicts):
            faults.append(f"{row.identity}: dead letters {told} instead of {row.fault}")
    strangers = (verdicts.keys() | letters.keys()) - {row.identity for row in rows}
    return faults + [f"{identity}: answered, but no such row" for identity in sorted(strangers)]


def disagreements(verdicts: Mapping[str, Sequence[Verdict]]) -> list[str]:
    """Transactions and revisions that were answered in more than one way."""
    answers: dict[tuple[str, int], set[tuple[object, ...]]] = defaultdict(set)
    for identity, given in verdicts.items():
        for each in given:
            answers[identity, each.revision].add((each.decision, each.score, each.model_version))
    return [f"{identity} revision {number}: {ways}" for (identity, number), ways in answers.items() if len(ways) > 1]


def left_degraded(verdicts: Mapping[str, Sequence[Verdict]]) -> list[str]:
    """Degraded answers that no full one followed."""
    return [
        f"{identity}: only revision 0"
        for identity, given in verdicts.items()
        if {verdict.revision for verdict in given} == {0}
    ]


def left_held(verdicts: Mapping[str, Sequence[Verdict]]) -> list[str]:
    """Holds that policy should have ended, and did not."""
    return [
        f"{identity}: held and never released or blocked"
        for identity, given in verdicts.items()
        if any(verdict.revision == 1 and verdict.hold_until is not None for verdict in given)
        and max(verdict.revision for verdict in given) < 2
    ]


def window_faults(transactions: Iterable[Entry], records: Iterable[Entry], settings: Settings) -> list[str]:
    """Where the feature log differs from a brute-force computation in applied_seq order, to the last bit."""
    seen: dict[str, Transaction] = {}
    for entry in transactions:
        seen.setdefault(entry.key, msgspec.json.decode(entry.value, type=Transaction))
    kept: dict[str, FeatureRecord] = {}
    faults = []
    for record in (msgspec.json.decode(entry.value, type=FeatureRecord) for entry in records):
        first = kept.setdefault(record.transaction_id, record)
        if first != record:
            faults.append(f"{record.transaction_id}: a redelivery saw other features")
    applied = sorted(kept.values(), key=lambda record: record.applied_seq)
    if [record.applied_seq for record in applied] != list(range(1, len(applied) + 1)):
        faults.append("applied_seq is not 1, 2, 3 …: something was applied twice, or applied and never told")
    return faults + _differences(applied, [seen[record.transaction_id] for record in applied], settings)


def _differences(
    records: Sequence[FeatureRecord], transactions: Sequence[Transaction], settings: Settings
) -> list[str]:
    amounts = [
        convert_to_base_minor(each.amount_minor, each.currency, settings.base_currency, settings.rates)
        for each in transactions
    ]
    known = build_window_updates(transactions, amounts, list_event_times_ms(transactions))
    brute = aggregates(zip((record.applied_seq for record in records), known, strict=True))
    expected = compute_features(transactions, amounts, brute, base_currency=settings.base_currency)
    actual = np.array([np.frombuffer(record.values, dtype="<f4") for record in records])
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    return [
        f"{records[row].transaction_id} (applied {records[row].applied_seq}): {get_feature_names()[column]} is "
        f"{actual[row, column]}, brute force says {expected[row, column]}"
        for row, column in np.argwhere(~same)
    ]


def position_ran_ahead(position: Position, rows: Iterable[Committed], delivered: set[str]) -> list[str]:
    """Rows that a connector starting at `position` would never read again, although Kafka does not have them."""
    return [
        f"{row.identity}: the saved position {position.text} lies behind it, and it is not in Kafka"
        for row in rows
        if _passed(position, row) and row.identity not in delivered
    ]


def _passed(position: Position, row: Committed) -> bool:
    if position.stage == "stream":
        return parse_stream(position).has_reached(row.end)
    snapshot = parse_snapshot(position)
    scanned = snapshot.after is not None and int(row.identity) <= int(snapshot.after)
    return scanned and snapshot.start.has_reached(row.end)


def offsets_ran_ahead(committed: Mapping[int, int], transactions: Iterable[Entry], answered: set[str]) -> list[str]:
    """Transactions that no worker would read again, although they have no full answer."""
    return [
        f"{entry.key}: offset {entry.offset} of partition {entry.partition} is committed, and it is not answered"
        for entry in transactions
        if entry.offset < committed.get(entry.partition, 0) and entry.key not in answered
    ]
