"""The control group: some of what the model would stop goes through, always the same ones, none of it dear."""

from pathlib import Path
from typing import Any

import pytest

from contract.events import Origin
from scoring.decision.shares import CONTROL, is_in_share
from support.tiny_model import tiny_package
from support.workbench import Workbench, features_of, records, resolution, transaction, verdict_of

BAD = tiny_package("bad", bias=4.0)
"""Blocks whatever comes."""
EVENTS = [transaction(number) for number in range(60)]
REPLAY = Origin(connector="orders", phase="replay", source="shop.orders", position="1")


def bench_with(folder: Path, share: float = 0.3, amount_max: float = 100.0) -> Workbench:
    scoring = {
        "control_share": share,
        "control_amount_max": amount_max,
        "breaker": {"share_max": "off", "per_minute_max": "off"},
    }
    return Workbench(folder, model=BAD, version="bad", document={"scoring": scoring})


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return bench_with(tmp_path)


def test_a_share_of_what_the_model_would_stop_is_let_through_and_marked(bench: Workbench) -> None:
    outcomes = bench.score(*EVENTS)
    through = [one for one, outcome in zip(EVENTS, outcomes, strict=True) if features_of(outcome).control]
    assert through == [one for one in EVENTS if is_in_share(one.transaction_id, CONTROL, 0.3)]
    assert 5 < len(through) < 30
    for one, outcome in zip(EVENTS, outcomes, strict=True):
        verdict = verdict_of(outcome)
        assert verdict.decision == features_of(outcome).decision == ("flag" if one in through else "block")
        assert (verdict.reasons[0].code == "policy:control") is (one in through)
        assert len(verdict.reasons) == (2 if one in through else 1)
    assert bench.count("tillguard_scoring_control_total") == len(through)


def test_without_a_share_nobody_is_let_through(tmp_path: Path) -> None:
    bench = Workbench(tmp_path, model=BAD, version="bad", document={"scoring": {"breaker": {"share_max": "off"}}})
    assert {verdict_of(outcome).decision for outcome in bench.score(*EVENTS)} == {"block"}


@pytest.mark.parametrize(
    ("changes", "through"),
    [
        ({}, True),
        ({"amount_minor": 10_000}, True),
        ({"amount_minor": 10_001}, False),
        ({"category": "giftcard", "amount_minor": 10_000}, False),  # a rule holds it as well
        ({"card": "k1:listed"}, False),  # a person's deny list
        ({"origin": REPLAY}, False),
    ],
)
def test_only_what_the_model_alone_stops_and_what_is_cheap_and_live(
    tmp_path: Path, changes: dict[str, Any], through: bool
) -> None:
    bench = bench_with(tmp_path, share=1.0)
    bench.store.marks["card", "k1:listed"] = "deny"
    (outcome,) = bench.score(transaction(1, **changes))
    assert features_of(outcome).control is through
    assert verdict_of(outcome).decision == ("flag" if through else "block")


def test_what_the_model_would_only_flag_or_allow_is_not_in_the_group(tmp_path: Path) -> None:
    bench = Workbench(tmp_path, document={"scoring": {"control_share": 1.0, "control_amount_max": 1000}})
    outcomes = bench.score(transaction(1), transaction(2, amount_minor=25_000), transaction(3, amount_minor=40_000))
    assert [features_of(outcome).control for outcome in outcomes] == [False, False, True]


def test_a_redelivery_is_told_the_same_though_the_share_was_changed_or_an_analyst_decided(
    tmp_path: Path, bench: Workbench
) -> None:
    events = records(EVENTS)
    first = bench.score_events(events)
    ended = bench_with(bench.folder, share=0.0)
    ended.store, ended.cases, ended.archive = bench.store, bench.cases, bench.archive
    ended.restart()
    assert [one.verdict for one in ended.score_events(events)] == [one.verdict for one in first]
    through = next(one.key.decode() for one in first if features_of(one).control)
    ended.resolver.resolve([resolution(through, "rejected")])
    again = ended.score_events(events)
    assert [(one.verdict, one.features) for one in again] == [(one.verdict, one.features) for one in first]


def test_the_control_group_is_not_counted_by_the_breaker(tmp_path: Path) -> None:
    scoring = {"control_share": 1.0, "breaker": {"per_minute_max": 0, "share_max": "off"}}
    bench = Workbench(tmp_path, model=BAD, version="bad", document={"scoring": scoring})
    verdict = bench.verdict(transaction(1))
    assert (verdict.decision, verdict.reasons[0].code) == ("flag", "policy:control")
    assert bench.count("tillguard_scoring_breaker_flagged_total") == 0
