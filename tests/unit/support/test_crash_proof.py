"""The proofs of the crash test find what they are there to find."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from connectors.mysql.position import BinlogPosition, SnapshotPosition, encode_snapshot, encode_stream
from contract.events import Origin, Transaction
from contract.features import FeatureRecord, get_schema_hash
from contract.settings import Settings
from contract.verdicts import Verdict
from scoring.features import build_window_updates, compute_features, list_event_times_ms
from support import crash_proof as proof
from support.crash_log import Entry
from support.crash_shop import Committed
from support.reference import aggregates

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
SETTINGS = Settings(retailer="crash")


def row(number: int, fault: str | None = None) -> Committed:
    return Committed(str(number), BinlogPosition(file="binlog.000001", offset=100 * (number + 1)), fault)


def verdict(identity: str, revision: int = 1, **changes: Any) -> Verdict:
    fields: dict[str, Any] = {
        "transaction_id": identity,
        "retailer": "crash",
        "revision": revision,
        "decision": "allow",
        "score": 0.1,
        "reasons": [],
        "model_version": "first",
        "rules_version": "r",
        "feature_schema": get_schema_hash(),
        "rules": [],
        "degraded": False,
        "cause": None,
        "late": False,
        "event_time": START,
        "scored_at": START,
        "latency_ms": 1.0,
        "stage_us": {},
    }
    return Verdict(**(fields | changes))


def test_a_row_without_an_answer_is_found() -> None:
    rows = [row(0), row(1), row(2, "amount_invalid")]
    full = {"0": [verdict("0")], "1": [verdict("1")]}
    letters = {"2": {"amount_invalid"}}
    assert proof.unanswered(rows, full, letters) == []
    assert proof.unanswered(rows, {"0": full["0"]}, letters)
    assert proof.unanswered(rows, full | {"1": [verdict("1", 0)]}, letters)
    assert proof.unanswered(rows, full, {})
    assert proof.unanswered(rows, full, letters | {"1": {"conflict"}})
    assert proof.unanswered(rows[:1], full, {})


@pytest.mark.parametrize("change", [{"decision": "flag"}, {"score": 0.2}, {"model_version": "second"}])
def test_two_answers_to_one_question_are_found(change: dict[str, Any]) -> None:
    same = [verdict("0", 0, decision="flag", score=None), verdict("0"), verdict("0", scored_at=START + timedelta(1))]
    assert proof.disagreements({"0": same}) == []
    assert proof.disagreements({"0": [*same, verdict("0", **change)]})


def test_a_degraded_answer_that_stayed_the_last_is_found() -> None:
    assert proof.left_degraded({"0": [verdict("0", 0), verdict("0", 1)]}) == []
    assert proof.left_degraded({"0": [verdict("0", 0), verdict("0", 0)]})


def test_a_hold_without_an_end_is_found() -> None:
    held = verdict("0", hold_until=START)
    assert proof.left_held({"0": [held, verdict("0", 2), held]}) == []
    assert proof.left_held({"0": [held, held]})


@pytest.fixture
def history() -> tuple[list[Entry], list[FeatureRecord]]:
    """Twenty transactions, and the feature records that a store without a fault makes of them."""
    chance = random.Random(7)
    made = [
        Transaction(
            transaction_id=str(number),
            retailer="crash",
            event_time=START + timedelta(minutes=chance.randrange(90)),
            ingest_time=START,
            amount_minor=chance.randrange(10_000),
            currency="EUR",
            origin=Origin(connector="orders", phase="stream", source="s", position="p"),
            customer=f"c{chance.randrange(3)}",
            card=f"k{chance.randrange(4)}",
        )
        for number in range(20)
    ]
    amounts = [each.amount_minor for each in made]
    brute = aggregates(enumerate(build_window_updates(made, amounts, list_event_times_ms(made)), start=1))
    vectors = compute_features(made, amounts, brute, base_currency="EUR").astype("<f4")
    records = [
        FeatureRecord(
            transaction_id=each.transaction_id,
            retailer="crash",
            event_time=each.event_time,
            applied_seq=number,
            feature_schema=get_schema_hash(),
            values=vectors[number - 1].tobytes(),
            score=0.1,
            model_version="first",
            rules_version="r",
            decision="allow",
            amount_base_minor=each.amount_minor,
        )
        for number, each in enumerate(made, start=1)
    ]
    entries = [Entry(0, at, each.transaction_id, msgspec.json.encode(each)) for at, each in enumerate(made)]
    return entries, records


def faults(entries: list[Entry], records: list[FeatureRecord]) -> list[str]:
    logged = [Entry(0, at, each.transaction_id, msgspec.json.encode(each)) for at, each in enumerate(records)]
    return proof.window_faults(entries, logged, SETTINGS)


def test_windows_that_differ_from_brute_force_are_found(history: tuple[list[Entry], list[FeatureRecord]]) -> None:
    entries, records = history
    assert faults(entries, [*records, records[3]]) == []
    vector = np.frombuffer(records[9].values, dtype="<f4").copy()
    place = int(np.flatnonzero(np.isfinite(vector))[30])
    vector[place] = np.nextafter(vector[place], np.float32(np.inf))
    wrong = msgspec.structs.replace(records[9], values=vector.tobytes())
    assert len(faults(entries, [*records[:9], wrong, *records[10:]])) == 1


def test_an_event_that_was_applied_twice_is_found(history: tuple[list[Entry], list[FeatureRecord]]) -> None:
    entries, records = history
    again = msgspec.structs.replace(records[5], applied_seq=21)
    assert faults(entries, [*records, again]) == ["5: a redelivery saw other features"]
    later = [msgspec.structs.replace(each, applied_seq=each.applied_seq + 1) for each in records[10:]]
    assert any("applied_seq is not" in fault for fault in faults(entries, [*records[:10], *later]))


def test_a_position_past_a_row_that_kafka_lacks_is_found() -> None:
    rows = [row(0), row(1), row(2)]
    stream = encode_stream(rows[1].end)
    assert proof.position_ran_ahead(stream, rows, {"0", "1"}) == []
    assert len(proof.position_ran_ahead(stream, rows, {"0", "2"})) == 1
    scan = encode_snapshot(SnapshotPosition(start=rows[2].end, table="orders", after="1"))
    assert proof.position_ran_ahead(scan, rows, {"0", "1"}) == []
    assert len(proof.position_ran_ahead(scan, rows, set())) == 2


def test_an_offset_past_an_unanswered_transaction_is_found() -> None:
    entries = [Entry(partition, offset, f"{partition}/{offset}", b"") for partition in (0, 1) for offset in range(3)]
    assert proof.offsets_ran_ahead({0: 2}, entries, {"0/0", "0/1"}) == []
    assert len(proof.offsets_ran_ahead({0: 2, 1: 1}, entries, {"0/0"})) == 2
