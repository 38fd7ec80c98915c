"""A canary answers its share of customers, the same ones forever, and whatever happens to it a redelivery is answered the same."""

from pathlib import Path

import pytest

from contract.package import build_package
from scoring.decision.shares import CANARY, is_in_share
from support.tiny_model import slow_onnx, tiny_challenge, tiny_manifest, tiny_package
from support.workbench import Workbench, features_of, records, transaction, verdict_of

CHALLENGER = tiny_package("new", bias=4.0)
"""Blocks whatever comes."""
MANY = [transaction(number) for number in range(200)]


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path, document={"scoring": {"breaker": {"share_max": "off"}}})


def versions(bench: Workbench) -> list[str | None]:
    return [verdict_of(outcome).model_version for outcome in bench.score(*MANY)]


def test_a_share_of_customers_is_answered_by_the_challenger(bench: Workbench) -> None:
    bench.challenge(CHALLENGER, "new", share=0.2)
    outcomes = bench.score(*MANY)
    for one, outcome in zip(MANY, outcomes, strict=True):
        chosen = is_in_share(one.customer or "", CANARY, 0.2)
        verdict = verdict_of(outcome)
        assert (verdict.model_version, verdict.decision) == (("new", "block") if chosen else ("tiny-1", "allow"))
        assert features_of(outcome).model_version == verdict.model_version
    assert 20 <= sum(verdict_of(outcome).model_version == "new" for outcome in outcomes) <= 60


def test_all_transactions_of_a_customer_go_to_one_model_and_without_a_customer_each_by_itself(bench: Workbench) -> None:
    bench.challenge(CHALLENGER, "new", share=0.5)
    same = {verdict_of(one).model_version for one in bench.score(*(transaction(n, customer="ann") for n in range(20)))}
    nobody = [
        verdict_of(one).model_version for one in bench.score(*(transaction(n, customer=None) for n in range(20, 60)))
    ]
    assert len(same) == 1
    assert set(nobody) == {"tiny-1", "new"}


def test_a_redelivery_keeps_its_model_when_the_share_grows_ends_or_the_worker_starts_again(bench: Workbench) -> None:
    bench.challenge(CHALLENGER, "new", share=0.2)
    first = [(verdict_of(one).decision, verdict_of(one).score, one.features) for one in bench.score(*MANY)]
    bench.challenge(CHALLENGER, "new", share=0.9)
    again = [(verdict_of(one).decision, verdict_of(one).score, one.features) for one in bench.score(*MANY)]
    bench.cache.offer(tiny_challenge(None, None)[1])
    withdrawn = [(verdict_of(one).decision, verdict_of(one).score, one.features) for one in bench.score(*MANY)]
    bench.restart()
    restarted = [(verdict_of(one).decision, verdict_of(one).score, one.features) for one in bench.score(*MANY)]
    assert first == again == withdrawn == restarted


def test_in_shadow_mode_no_customer_is_answered_by_the_challenger(bench: Workbench) -> None:
    bench.challenge(CHALLENGER, "new")
    assert set(versions(bench)) == {"tiny-1"}


def test_a_canary_that_is_gone_leaves_its_own_degraded_and_nobody_else(bench: Workbench) -> None:
    bench.challenge(CHALLENGER, "new", share=0.2)
    pinned = versions(bench)
    (bench.folder / "models" / "new.package.zip").unlink()
    bench.restart()
    verdicts = [verdict_of(outcome) for outcome in bench.score(*MANY)]
    assert [verdict.cause for verdict in verdicts] == [
        "model_unavailable" if version == "new" else None for version in pinned
    ]
    bench.challenge(CHALLENGER, "new")
    assert versions(bench) == pinned


def test_a_canary_that_takes_too_long_leaves_its_own_degraded_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is slow at 600.00 only, so it passed its trial."""
    monkeypatch.setattr("scoring.models.onnx_model.check_graph", lambda _: None)  # a graph that got past the check
    bench = Workbench(tmp_path, document={"scoring": {"budget_ms": 500}})
    onnx = slow_onnx(10**9)
    bench.challenge(build_package(tiny_manifest(onnx, "slow"), onnx), "slow", share=0.5)
    customers = sorted((f"c-{number}" for number in range(8)), key=lambda name: not is_in_share(name, CANARY, 0.5))
    events = [
        transaction(number, customer=name, amount_minor=60_000 if is_in_share(name, CANARY, 0.5) else 5_000)
        for number, name in enumerate(customers)
    ]
    verdicts = [verdict_of(outcome) for outcome in bench.score_events(records(events))]
    found = {verdict.cause for one, verdict in zip(events, verdicts, strict=True) if one.amount_minor == 60_000}
    others = {verdict.cause for one, verdict in zip(events, verdicts, strict=True) if one.amount_minor == 5_000}
    assert found == {"model_late"}
    assert others == {None}
