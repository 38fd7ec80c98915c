"""One answer: a transaction that is delivered again is told what it was told first, whatever changed in between."""

from pathlib import Path

import pytest

from scoring.rules.ruleset import load_rules
from support.tiny_model import tiny_package
from support.workbench import RULES, Workbench, features_of, records, transaction, verdict_of

STRICT = "rules: [{id: all, text: everything, when: 'amount > 1', decision: block}]"
EVENTS = [
    transaction(1),
    transaction(2, amount_minor=40_000),
    transaction(3, amount_minor=70_000),
    transaction(4, category="giftcard", amount_minor=12_000),
    transaction(5, terminal="staff", amount_minor=70_000),
]


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


def answers(bench: Workbench) -> list[tuple[object, ...]]:
    outcomes = bench.score_events(records(EVENTS))
    assert all(outcome.complete for outcome in outcomes)
    verdicts = [verdict_of(outcome) for outcome in outcomes]
    return [
        (one.revision, one.decision, one.score, one.model_version, one.rules_version, one.hold_until, outcome.features)
        for one, outcome in zip(verdicts, outcomes, strict=True)
    ]


def change_model(bench: Workbench) -> None:
    bench.promote(tiny_package("tiny-2", bias=5.0), "tiny-2")


def change_rules(bench: Workbench) -> None:
    bench.rulesets.use(load_rules(STRICT, where="new"))


def add_marks(bench: Workbench) -> None:
    bench.store.marks |= {("card", "k1:card-1"): "deny", ("card", "k1:card-3"): "allow"}


def snooze_rules(bench: Workbench) -> None:
    bench.store.snoozes |= {("card", "k1:card-4"): ("giftcards",), ("customer", "c-5"): ("trusted-till",)}


def pass_time(bench: Workbench) -> None:
    bench.clock.advance(86_400)


def send_more_of_the_same_card(bench: Workbench) -> None:
    bench.score(*[transaction(number, card="k1:card-1") for number in range(10, 20)])


def crash(bench: Workbench) -> None:
    bench.restart()


def crash_and_come_back_with_other_rules_and_model(bench: Workbench) -> None:
    bench.model, bench.version = tiny_package("tiny-3", bias=9.0), "tiny-3"
    bench.rules = load_rules(STRICT, where="new")
    bench.restart()


@pytest.mark.parametrize(
    "change",
    [
        change_model, change_rules, add_marks, snooze_rules, pass_time, send_more_of_the_same_card, crash,
        crash_and_come_back_with_other_rules_and_model,
    ],
)  # fmt: skip
def test_decision_score_and_features_stay_as_they_were_first(bench: Workbench, change: object) -> None:
    first = answers(bench)
    assert [answer[1] for answer in first] == ["allow", "hold", "block", "hold", "allow"]
    change(bench)  # type: ignore[operator]
    assert answers(bench) == first


def test_a_hold_that_was_resolved_meanwhile_still_repeats_its_first_answer(bench: Workbench) -> None:
    from support.workbench import resolution

    first = answers(bench)
    bench.resolver.resolve([resolution("t-2")])
    again = answers(bench)
    assert [answer[:5] for answer in again] == [answer[:5] for answer in first]
    assert bench.cases.newest["t-2"].revision == 2


def test_the_pinned_model_may_be_gone_from_memory_but_not_from_disk(bench: Workbench) -> None:
    first = answers(bench)
    for number in range(8):
        bench.promote(tiny_package(f"next-{number}", bias=5.0), f"next-{number}")
        bench.score(transaction(100 + number))
    assert answers(bench) == first


def test_a_pinned_model_that_is_nowhere_gives_a_degraded_answer_until_it_is_published_again(bench: Workbench) -> None:
    first = answers(bench)
    bench.model, bench.version = tiny_package("tiny-2", bias=5.0), "tiny-2"
    (bench.folder / "models" / "tiny-1.package.zip").unlink()
    bench.restart()
    outcomes = bench.score_events(records([*EVENTS, transaction(9)]))
    assert [verdict_of(outcome).cause for outcome in outcomes] == ["model_unavailable"] * 5 + [None]
    bench.promote(tiny_package("tiny-1"), "tiny-1")
    assert answers(bench) == first


def test_rows_pinned_to_different_models_are_judged_together_by_their_own(bench: Workbench) -> None:
    bench.score(transaction(1), transaction(2))
    change_model(bench)
    outcomes = bench.score(transaction(1), transaction(3), transaction(2), transaction(4))
    assert [verdict_of(outcome).model_version for outcome in outcomes] == ["tiny-1", "tiny-2", "tiny-1", "tiny-2"]
    assert [features_of(outcome).applied_seq for outcome in outcomes] == [1, 3, 2, 4]
    assert [verdict_of(outcome).decision for outcome in outcomes] == ["allow", "block", "allow", "block"]


def test_old_rules_come_from_the_archive_and_wait_for_it(bench: Workbench) -> None:
    first = answers(bench)
    bench.rules = load_rules(STRICT, where="new")
    bench.archive.broken = True
    bench.restart()
    assert {verdict_of(outcome).cause for outcome in bench.score_events(records(EVENTS))} == {"state_unavailable"}
    bench.archive.broken = False
    bench.clock.advance(0.2)
    assert answers(bench) == first


def test_nothing_is_pinned_to_rules_that_are_not_archived(tmp_path: Path) -> None:
    bench = Workbench(tmp_path)
    bench.archive.broken = True
    bench.archive.sources.clear()
    bench.restart()
    assert verdict_of(bench.score(transaction(1))[0]).cause == "state_unavailable"
    assert bench.archive.sources == {}
    bench.archive.broken = False
    assert verdict_of(bench.score(transaction(2))[0]).cause == "state_unavailable"
    bench.clock.advance(0.2)
    assert bench.score(transaction(3))[0].complete
    assert set(bench.archive.sources) == {bench.rules.version}


def test_rules_that_nobody_knows_any_more_are_replaced_by_the_current_ones(bench: Workbench) -> None:
    answers(bench)
    bench.rules = load_rules(STRICT, where="new")
    bench.archive.sources.clear()
    bench.restart()
    verdict = verdict_of(bench.score_events(records([transaction(1)]))[0])
    assert (verdict.rules_version, verdict.decision) == (bench.rules.version, "block")


def test_an_archive_entry_that_is_not_what_it_says_is_not_used(bench: Workbench) -> None:
    version = bench.rules.version
    bench.rules = load_rules(STRICT, where="new")
    bench.restart()
    for source in (STRICT, "rules: [", RULES):
        bench.archive.sources[version] = source
        found = bench.rulesets.get(version)
        assert (found is not None) is (source == RULES)
