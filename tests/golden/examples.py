"""The messages whose bytes must decode for ever, as values; `python tests/golden/examples.py` writes the bytes of new ones.

A golden file is written once. It is never changed: records with such bytes lie on topics for months. A new version of
a message gets a new entry here and a new file beside the old one.
"""

import struct
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

from contract.alarms import Alarm
from contract.codec import encode
from contract.dead_letters import DeadLetter
from contract.events import Label, Origin, Resolution, Transaction
from contract.features import FeatureRecord
from contract.models import DataRange, Manifest, ModelChallenge, ModelChunk, ModelPromotion, ShadowScore, Thresholds
from contract.risk import KnownOutcome
from contract.rules import RulesServing, RulesVersion
from contract.status.message import Condition, Lag, ProcessStatus, Progress
from contract.verdicts import Reason, SnoozedRule, Verdict

FOLDER = Path(__file__).parent / "v1"
NOON = datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)
ORIGIN = Origin(connector="orders", phase="stream", source="shop.orders", position="binlog.000007:1234")
DIGEST = "ab" * 32

EXAMPLES: dict[str, Struct] = {
    "transaction-least": Transaction(
        transaction_id="t-1", retailer="acme", event_time=NOON, ingest_time=NOON, amount_minor=0, currency="EUR",
        origin=ORIGIN,
    ),
    "transaction-full": Transaction(
        transaction_id="Größe/7 ☂", retailer="acme", event_time=NOON, ingest_time=NOON + timedelta(seconds=1),
        amount_minor=10**12, currency="JPY", origin=ORIGIN, customer="c-1", card="k1:0a1b", device="d-1", ip="k1:0c",
        email="k1:0d", address="k1:0e", coupon="WELCOME", terminal="till-4", phone="k1:0f", channel="web",
        payment_method="card", category="toys", country_billing="DE", country_delivery="FR", country_ip="NL",
        country_card="DE", customer_since=datetime(2019, 2, 28, tzinfo=UTC), basket_items=3, discount_minor=250,
        session_s=42.5, aliases={"card": "k0:99"},
    ),
    "label-least": Label(
        transaction_id="t-1", retailer="acme", fraud=False, source="review", label_time=NOON, ingest_time=NOON,
        origin=ORIGIN,
    ),
    "label-full": Label(
        transaction_id="t-1", retailer="acme", fraud=True, source="chargeback", label_time=NOON, ingest_time=NOON,
        origin=ORIGIN, kind="stolen_card",
    ),
    "resolution-full": Resolution(
        resolution_id="r-1", transaction_id="t-1", retailer="acme", outcome="step_up_passed", actor="bank",
        resolved_at=NOON,
    ),
    "verdict-degraded": Verdict(
        transaction_id="t-1", retailer="acme", revision=0, decision="hold", score=None,
        reasons=[Reason(code="policy:fallback", text="the model did not answer in time", weight=1.0)], model_version=None,
        rules_version="rules-1", feature_schema="v1-0123456789ab", rules=[], degraded=True, cause="model_late", late=False,
        event_time=NOON, scored_at=NOON, latency_ms=51.25, stage_us={"decode": 4.0},
    ),
    "verdict-full": Verdict(
        transaction_id="t-1", retailer="acme", revision=1, decision="hold", score=0.75,
        reasons=[
            Reason(code="rule:card-testing", text="many small payments", weight=1.0),
            Reason(code="group:card", text="what this card did lately", weight=0.5),
        ],
        model_version="acme-20261101", rules_version="rules-1", feature_schema="v1-0123456789ab", rules=["card-testing"],
        degraded=False, cause=None, late=True, event_time=NOON, scored_at=NOON, latency_ms=6.5,
        stage_us={"decode": 4.0, "model": 9.5}, hold_until=NOON + timedelta(minutes=15),
    ),
    "verdict-resolved": Verdict(
        transaction_id="t-1", retailer="acme", revision=2, decision="allow", score=0.75, reasons=[],
        model_version="acme-20261101", rules_version="rules-1", feature_schema="v1-0123456789ab", rules=[], degraded=False,
        cause=None, late=False, event_time=NOON, scored_at=NOON, latency_ms=6.5, stage_us={}, outcome="step_up_passed",
    ),
    "verdict-snoozed": Verdict(
        transaction_id="t-1", retailer="acme", revision=1, decision="allow", score=0.25, reasons=[],
        model_version="acme-20261101", rules_version="r-0123456789ab", feature_schema="v1-0123456789ab", rules=[],
        degraded=False, cause=None, late=False, event_time=NOON, scored_at=NOON, latency_ms=6.5, stage_us={},
        incomplete=["risk"], snoozed=[SnoozedRule(rule="card-testing", entity="card")],
    ),
    "feature-record-full": FeatureRecord(
        transaction_id="t-1", retailer="acme", event_time=NOON, applied_seq=7, feature_schema="v1-0123456789ab",
        values=struct.pack("<3f", 19.5, float("nan"), -1.0), score=0.75, model_version="acme-20261101",
        rules_version="rules-1", decision="hold", amount_base_minor=1950,
    ),
    "feature-record-entities": FeatureRecord(
        transaction_id="t-1", retailer="acme", event_time=NOON, applied_seq=7, feature_schema="v2-0123456789ab",
        values=struct.pack("<3f", 19.5, float("nan"), -1.0), score=0.75, model_version="acme-20261101",
        rules_version="rules-1", decision="flag", amount_base_minor=1950, entities=b"\x01\x00" b"01234567", control=True,
    ),
    "known-outcome-full": KnownOutcome(
        transaction_id="t-1", retailer="acme", event_time=NOON, entities=b"\x01\x00" b"01234567", fraud=True, plain=True,
        label_time=NOON + timedelta(days=7),
    ),
    "dead-letter-least": DeadLetter(
        retailer="acme", part="connector:orders", reason="key_missing", detail="the row has no key", source="shop.orders",
        position="binlog.000007:1234", failed_at=NOON,
    ),
    "dead-letter-full": DeadLetter(
        retailer="acme", part="scoring", reason="malformed", detail="trailing characters", source="acme.transactions.v1",
        position="3:42", failed_at=NOON, key="t-1", payload=b"\x00\xff{",
    ),
    "manifest-full": Manifest(
        model_version="acme-20261101", retailer="acme", created_at=NOON, feature_schema="v1-0123456789ab", features=3,
        onnx_sha256=DIGEST, thresholds=Thresholds(flag=0.1, hold=0.5, block=1.000001), ordinary=[1.5, None, 0.0],
        data=DataRange(first=NOON - timedelta(days=60), last=NOON, transactions=1000, frauds=12),
        metrics={"average_precision": 0.75}, parity_max_abs_diff=4.5e-7,
        parameters={"seed": 7, "loss": "focal", "rate": 0.001, "balanced": True}, base="acme-20261001",
    ),
    "model-chunk-full": ModelChunk(
        model_version="acme-20261101", index=0, count=2, package_sha256=DIGEST, data=b"PK\x03\x04"
    ),
    "model-promotion-full": ModelPromotion(
        model_version="acme-20261101", package_sha256=DIGEST, promoted_at=NOON, promoted_by="trainer"
    ),
    "model-challenge-canary": ModelChallenge(
        model_version="acme-20261102", package_sha256=DIGEST, mode="canary", share=0.05, decided_at=NOON,
        decided_by="ana",
    ),
    "model-challenge-none": ModelChallenge(
        model_version=None, package_sha256=None, mode="shadow", share=0.0, decided_at=NOON, decided_by="ana"
    ),
    "rules-version-full": RulesVersion(
        rules_version="r-0123456789ab", source="rules:\n  - {id: big, text: viel Geld ☂, when: amount > 900, decision: hold}\n",
        made_at=NOON, made_by="ana", note="large amounts",
    ),
    "rules-serving-first": RulesServing(
        rules_version="r-0123456789ab", served_at=NOON, served_by="ana", reason="more gift cards are stolen"
    ),
    "rules-serving-full": RulesServing(
        rules_version="r-0123456789ab", served_at=NOON, served_by="ana", reason="back", previous="r-ba9876543210"
    ),
    "shadow-score-full": ShadowScore(
        transaction_id="t-1", retailer="acme", event_time=NOON, model_version="acme-20261102", score=0.25,
        decision="allow", champion_version="acme-20261101", champion_score=0.75, champion_decision="hold",
    ),
    "alarm-full": Alarm(
        alarm_id="breaker-1", retailer="acme", kind="breaker_open", severity="critical", raised_at=NOON, part="scoring",
        subject="acme", text="31 holds and blocks in a minute, at most 30", remedy="look at the newest model",
        values={"stopped": 31.0, "limit": 30.0},
    ),
    "process-status-least": ProcessStatus(
        retailer="acme", part="trainer", process="till-7-1", version="0.1.0", started_at=NOON, sent_at=NOON, every_s=5.0,
        condition=Condition(activity="collecting", healthy=True),
    ),
    "process-status-reading": ProcessStatus(
        retailer="acme", part="connector:orders", process="till-7-4711", version="0.1.0", started_at=NOON,
        sent_at=NOON + timedelta(minutes=7), every_s=5.0,
        condition=Condition(
            activity="reading", healthy=True, position="binlog.000007:1234",
            progress=Progress(
                name="orders", rows=620_000, rows_total=1_000_000, rows_per_s=1500.5, left_s=253.25, tables_after=1
            ),
        ),
    ),
    "process-status-full": ProcessStatus(
        retailer="acme", part="scoring", process="till-7-4712", version="0.1.0", started_at=NOON,
        sent_at=NOON + timedelta(hours=1), every_s=0.5, stopped=True,
        condition=Condition(
            activity="scoring", healthy=False, reasons=["Redis does not answer; remedy: check that it runs"],
            warnings=["windows reach back to noon only"], lag=Lag(records=17, seconds=0.25), partitions=[0, 4, 11],
            model_version="acme-20261101", rules_version="rules-1", breaker_open=True,
        ),
    ),
}  # fmt: skip
"""By file name without ending; equality with the decoded file is the promise."""


def write(folder: Path, *, overwritten: tuple[str, ...] = ()) -> list[str]:
    """Writes the bytes of every example that has no file yet; returns their names.

    Raises FileExistsError for a name in `overwritten` that has a file: golden bytes never change.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in overwritten:
        if (folder / f"{name}.json").exists():
            raise FileExistsError(f"{name}.json is golden: add a new version beside it instead")
    new = [name for name in EXAMPLES if not (folder / f"{name}.json").exists()]
    for name in new:
        (folder / f"{name}.json").write_bytes(encode(EXAMPLES[name]))
    return new


if __name__ == "__main__":
    sys.stdout.write("".join(f"wrote {name}.json\n" for name in write(FOLDER, overwritten=tuple(sys.argv[1:]))))
