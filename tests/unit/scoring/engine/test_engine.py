"""The engine: one outcome for every event, whatever it is and whatever fails."""

from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.clock import ManualClock
from contract.dead_letters import REASONS
from contract.events import Origin
from contract.features import get_feature_names
from contract.models import Thresholds
from contract.verdicts import SnoozedRule
from scoring.ports import EventResult, RawEvent
from scoring.rules.ruleset import load_rules
from support.tiny_model import random_onnx, tiny_manifest, tiny_package
from support.workbench import (
    START,
    Workbench,
    dead_letter_of,
    features_of,
    record,
    records,
    transaction,
    verdict_of,
)


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


HISTORY = Origin(connector="orders", phase="snapshot", source="shop.orders", position="1")


def test_an_ordinary_payment_is_allowed_with_its_score_and_no_reasons(bench: Workbench) -> None:
    (outcome,) = bench.score(transaction())
    verdict = verdict_of(outcome)
    assert (verdict.revision, verdict.decision, verdict.degraded, verdict.late) == (1, "allow", False, False)
    assert verdict.score == pytest.approx(0.075858)
    assert (verdict.reasons, verdict.rules, verdict.hold_until, verdict.cause) == ([], [], None, None)
    assert (verdict.model_version, verdict.rules_version) == ("tiny-1", bench.rules.version)
    assert verdict.latency_ms == 60_000
    assert set(verdict.stage_us) == {"decode", "windows", "features", "model", "decide"}
    assert outcome.key == b"t-1"
    assert outcome.complete
    assert bench.cases.newest == {}


def test_the_feature_record_holds_what_the_model_saw(bench: Workbench) -> None:
    bench.score(transaction(1, card="k1:same"))
    (outcome,) = bench.score(transaction(2, card="k1:same"))
    found = features_of(outcome)
    values = dict(zip(get_feature_names(), np.frombuffer(found.values, dtype="<f4").tolist(), strict=True))
    assert values["card_count_1h"] == 2
    assert values["card_sum_1h"] == 100
    assert values["amount"] == 50
    assert (found.applied_seq, found.amount_base_minor, found.decision) == (2, 5_000, "allow")
    assert (found.score, found.model_version) == (verdict_of(outcome).score, "tiny-1")


@pytest.mark.parametrize(("amount", "decision"), [(40_000, "hold"), (70_000, "block"), (25_000, "flag")])
def test_the_models_thresholds_decide_and_the_case_is_on_record(bench: Workbench, amount: int, decision: str) -> None:
    verdict = bench.verdict(transaction(amount_minor=amount))
    assert verdict.decision == decision
    assert verdict.reasons[0].code == "group:amount"
    case = bench.cases.newest["t-1"]
    assert msgspec.json.decode(case.verdict)["decision"] == decision
    expected = bench.clock.now() + timedelta(seconds=900) if decision == "hold" else None
    assert case.open_until == verdict.hold_until == expected


def test_a_fired_rule_decides_and_says_why(bench: Workbench) -> None:
    verdict = bench.verdict(transaction(category="giftcard", amount_minor=10_000))
    assert (verdict.decision, verdict.rules) == ("hold", ["giftcards"])
    assert verdict.reasons[0].code == "rule:giftcards"
    assert verdict.reasons[0].text == "payment anomaly: a gift card for 100.00 EUR"
    assert bench.count("tillguard_scoring_rule_hits_total", rule="giftcards") == 1


def test_a_rule_that_allows_silences_the_model_and_is_named(bench: Workbench) -> None:
    verdict = bench.verdict(transaction(terminal="staff", amount_minor=70_000))
    assert (verdict.decision, verdict.rules) == ("allow", ["trusted-till"])
    assert [reason.code for reason in verdict.reasons] == ["rule:trusted-till"]


@pytest.mark.parametrize(
    ("mark", "amount", "decision"), [("deny", 100, "block"), ("allow", 70_000, "allow"), ("watch", 100, "flag")]
)
def test_lists_and_overrides_decide_over_the_model(bench: Workbench, mark: str, amount: int, decision: str) -> None:
    bench.store.marks["card", "k1:card-1"] = mark
    verdict = bench.verdict(transaction(amount_minor=amount))
    assert verdict.decision == decision
    assert verdict.reasons[0].code == f"list:{mark}"
    assert "card-1" not in str(verdict.reasons)


def test_a_snoozed_rule_decides_nothing_and_the_verdict_names_it(bench: Workbench) -> None:
    gift = {"category": "giftcard", "amount_minor": 12_000}
    bench.store.snoozes["card", "k1:card-1"] = ("giftcards", "trusted-till")
    verdict = bench.verdict(transaction(1, **gift))
    assert (verdict.decision, verdict.rules, verdict.reasons) == ("allow", [], [])
    assert verdict.snoozed == [SnoozedRule(rule="giftcards", entity="card")]
    assert bench.count("tillguard_scoring_rules_snoozed_total", rule="giftcards") == 1
    assert bench.count("tillguard_scoring_rule_hits_total", rule="giftcards") == 0
    other = bench.verdict(transaction(2, **gift))
    assert (other.decision, other.snoozed) == ("hold", [])


def test_a_snoozed_allow_rule_leaves_the_model_its_say_and_a_deny_list_blocks_all_the_same(bench: Workbench) -> None:
    bench.store.snoozes["customer", "c-1"] = ("trusted-till",)
    verdict = bench.verdict(transaction(1, terminal="staff", amount_minor=70_000))
    assert (verdict.decision, verdict.rules) == ("block", [])
    bench.store.snoozes["card", "k1:card-2"] = ("giftcards",)
    bench.store.marks["card", "k1:card-2"] = "deny"
    denied = bench.verdict(transaction(2, category="giftcard", amount_minor=12_000))
    assert (denied.decision, [reason.code for reason in denied.reasons][:1]) == ("block", ["list:deny"])
    assert denied.snoozed == [SnoozedRule(rule="giftcards", entity="card")]


def test_a_decision_that_no_group_explains_is_explained_by_the_score(tmp_path: Path) -> None:
    bench = Workbench(tmp_path, model=tiny_package(weights={}, bias=2.0))
    assert [reason.code for reason in bench.verdict(transaction()).reasons] == ["policy:score"]


def test_outcomes_come_in_the_order_of_events_whatever_they_are(bench: Workbench) -> None:
    events = [
        record(transaction(1), 0),
        record(b"{", 1),
        record(transaction(2, amount_minor=70_000), 2),
        record(None, 3),
        record(transaction(3, currency="XXX"), 4),
        record(transaction(1, amount_minor=1), 5),
        record(transaction(1), 6),
    ]
    outcomes = bench.score_events(events)
    assert [outcome.key for outcome in outcomes] == [b"t-1", b"key", b"t-2", b"key", b"t-3", b"t-1", b"t-1"]
    assert [outcome.verdict is not None for outcome in outcomes] == [True, False, True, False, False, False, True]
    reasons = [dead_letter_of(outcomes[place]).reason for place in (1, 4, 5)]
    assert reasons == ["malformed", "currency_unknown", "conflict"]
    assert outcomes[0].verdict == outcomes[6].verdict
    assert all(outcome.complete for outcome in outcomes)


def changed(**changes: object) -> bytes:
    document = msgspec.json.decode(msgspec.json.encode(transaction()))
    document.update(changes)
    return msgspec.json.encode({name: value for name, value in document.items() if value != "absent"})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "malformed"),
        (b"not json", "malformed"),
        (b"[1]", "malformed"),
        (b"\xff\xfe{}", "malformed"),
        (changed(customer="\ud800".encode("utf-8", "replace").decode()).replace(b"?", b"\xff"), "encoding"),
        (changed(amount_minor="absent"), "field_missing"),
        (changed(transaction_id=None), "field_missing"),
        (changed(amount_minor="12"), "amount_invalid"),
        (changed(amount_minor=-1), "amount_invalid"),
        (changed(amount_minor=10**13), "amount_invalid"),
        (changed(amount_minor=0.5), "amount_invalid"),
        (changed().replace(b"5000", b"NaN"), "malformed"),
        (changed(basket_items=-1), "field_invalid"),
        (changed(currency="euro"), "field_invalid"),
        (changed(currency="USD"), "currency_unknown"),
        (changed(event_time="2026-11-02T12:30:00Z"), "time_future"),
        (changed(event_time="1999-12-31T23:59:59Z"), "time_too_old"),
        (changed(event_time="yesterday"), "field_invalid"),
        (changed(event_time="2026-11-02T12:00:00"), "field_invalid"),
        (changed(retailer="other"), "retailer_mismatch"),
        (changed(category="x" * 70_000), "oversized"),
        (b"[" * 100_000, "oversized"),
        (b"[" * 50_000, "malformed"),
    ],
)
def test_bad_input_becomes_a_dead_letter_that_finds_it_again(bench: Workbench, value: bytes, reason: str) -> None:
    (outcome,) = bench.score_events([record(value, offset=17)])
    letter = dead_letter_of(outcome)
    assert letter.reason == reason
    assert reason in REASONS
    assert (letter.source, letter.position, letter.part) == ("shop.transactions.v1", "0:17", "scoring")
    assert outcome.verdict is None
    assert outcome.complete
    assert (letter.payload == value) is (len(value) <= 65_536)
    assert bench.count("tillguard_scoring_dead_letters_total", reason=reason) == 1


def test_a_dead_letter_never_has_an_empty_key() -> None:
    event = RawEvent(b"?", "shop.transactions.v1", 3, 9, 0, None)
    from scoring.engine.answers import choose_key

    assert choose_key(event) == b"shop.transactions.v1/3/9"
    assert choose_key(event._replace(key=b"")) == b"shop.transactions.v1/3/9"


def test_a_tombstone_needs_no_answer_but_a_message_without_key_and_value_does(bench: Workbench) -> None:
    withdrawn, nothing = bench.score_events([record(None, key=b"t-1"), record(None, 1, key=None)])
    assert withdrawn == EventResult(key=b"t-1")
    assert dead_letter_of(nothing).reason == "malformed"


def test_an_empty_batch_has_no_outcomes(bench: Workbench) -> None:
    assert bench.score_events([]) == []
    assert bench.engine.retry([]) == []
    assert bench.store.batches == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(
        st.none()
        | st.binary(max_size=200)
        | st.dictionaries(
            st.sampled_from(["transaction_id", "retailer", "event_time", "amount_minor", "currency", "card", "aliases", "origin", "session_s"]),
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dictionaries(st.text(max_size=5), st.text(max_size=5)),
        ).map(lambda changes: changed(**changes)),
        max_size=6,
    ),
    st.sampled_from(["whole", "broken", "silent", "deaf"]),
    st.booleans(),
)  # fmt: skip
def test_any_bytes_get_exactly_one_outcome_and_nothing_is_raised(
    bench: Workbench, values: list[bytes | None], state: str, again: bool
) -> None:
    for name in ("broken", "silent", "deaf"):
        setattr(bench.store, name, name == state)
    events = [record(value, offset) for offset, value in enumerate(values)]
    outcomes = (bench.engine.retry if again else bench.score_events)(events)
    assert len(outcomes) == len(events)
    for event, outcome in zip(events, outcomes, strict=True):
        messages = [outcome.verdict, outcome.dead_letter]
        assert messages.count(None) >= 1
        if event.value is not None and not again:
            assert messages.count(None) == 1


def test_two_open_batches_are_collected_in_their_order(bench: Workbench) -> None:
    first = bench.engine.submit(records([transaction(1, card="k1:x")]))
    second = bench.engine.submit(records([transaction(2, card="k1:x")]))
    one, two = bench.engine.collect(first)[0], bench.engine.collect(second)[0]
    assert [features_of(outcome).applied_seq for outcome in (one, two)] == [1, 2]


def test_history_is_late_and_its_holds_do_not_expire(bench: Workbench) -> None:
    verdict = bench.verdict(transaction(origin=HISTORY, amount_minor=40_000))
    assert (verdict.late, verdict.decision, verdict.hold_until) == (True, "hold", None)
    assert bench.cases.newest["t-1"].open_until is None


def test_history_older_than_cases_are_kept_opens_none(bench: Workbench) -> None:
    verdict = bench.verdict(transaction(origin=HISTORY, amount_minor=40_000, event_time=START - timedelta(days=31)))
    assert verdict.decision == "hold"
    assert bench.cases.newest == {}


def test_an_event_that_waited_too_long_is_late(bench: Workbench) -> None:
    bench.clock.advance(239)
    assert not bench.verdict(transaction(0)).late
    bench.clock.advance(2)
    assert bench.verdict(transaction(0)).late


def test_a_clock_behind_the_brokers_gives_no_negative_latency(tmp_path: Path) -> None:
    bench = Workbench(tmp_path, clock=ManualClock(START - timedelta(seconds=30)))
    assert bench.verdict(transaction(0)).latency_ms == 0


def test_a_promoted_model_judges_from_the_next_batch_on(bench: Workbench) -> None:
    bench.score(transaction(1))
    bench.promote(tiny_package("tiny-2", bias=4.0), "tiny-2")
    verdict = bench.verdict(transaction(2))
    assert (verdict.model_version, verdict.decision) == ("tiny-2", "block")


def test_new_rules_judge_from_the_next_batch_on(bench: Workbench) -> None:
    bench.rulesets.use(load_rules("rules: [{id: all, text: all, when: 'amount > 1', decision: block}]", where="new"))
    assert bench.verdict(transaction()).decision == "block"


def test_many_events_of_all_kinds_are_counted(bench: Workbench) -> None:
    bench.score(*[transaction(number) for number in range(5)], transaction(6, amount_minor=70_000))
    bench.score(transaction(0))
    assert bench.count("tillguard_scoring_events_total") == 7
    assert bench.count("tillguard_scoring_verdicts_total", decision="allow", degraded="false") == 6
    assert bench.count("tillguard_scoring_verdicts_total", decision="block", degraded="false") == 1
    assert bench.count("tillguard_scoring_redelivered_total") == 1
    assert bench.count("tillguard_scoring_latency_seconds_count") == 7
    assert bench.count("tillguard_scoring_batch_events_count") == 2
    assert bench.count("tillguard_scoring_stage_seconds_count", stage="model") == 2


@pytest.mark.parametrize("seed", range(3))
def test_batches_of_any_size_give_the_same_answers(tmp_path: Path, seed: int) -> None:
    from contract.package import build_package

    onnx = random_onnx(seed, first=0.05)
    package = build_package(tiny_manifest(onnx, thresholds=Thresholds(flag=0.4, hold=0.5, block=0.6)), onnx)
    generator = np.random.default_rng(seed)
    events = [
        transaction(number, amount_minor=int(generator.integers(1, 90_000)), card=f"k1:{generator.integers(20)}")
        for number in range(128)
    ]
    answers, recorded = [], []
    for size in (1, 16, 128):
        bench = Workbench(tmp_path / str(size), model=package, document={"scoring": {"breaker": {"share_max": "off"}}})
        outcomes = [outcome for start in range(0, 128, size) for outcome in bench.score(*events[start : start + size])]
        verdicts = [verdict_of(outcome) for outcome in outcomes]
        answers.append([(verdict.decision, verdict.score, verdict.reasons) for verdict in verdicts])
        recorded.append([outcome.features for outcome in outcomes])
    assert answers[0] == answers[1] == answers[2]
    assert recorded[0] == recorded[1] == recorded[2]
    assert len({score for _, score, _ in answers[0]}) > 5
    assert any(reasons for _, _, reasons in answers[0])
