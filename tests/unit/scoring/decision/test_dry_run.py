"""A dry run counts what a person would count who takes one transaction of the feature log after another."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from contract.clock import to_epoch_ms
from contract.features import FeatureRecord, get_feature_names, get_schema_widths
from contract.models import Thresholds
from contract.verdicts import DECISIONS
from contract.windows import ENTITY_NAMES
from scoring.decision.dry_run import ByOutcome, DryRun, Past, Slice, Tally, read_slice, run_dry
from scoring.rules.ruleset import Ruleset, load_default_rules, load_rules

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
NAMES = get_feature_names()
TRIED = """
rules:
  - {id: large, text: large, when: amount > 199.99, decision: flag}
  - {id: many, text: many, when: '(card_count_1h ?? 0) >= 3 and (card_sum_1h ?? 0) > 19.99', decision: block}
  - {id: night, text: night, when: hour < 6 or score >= 0.9, decision: hold}
  - {id: coupon, text: coupon, when: coupon != null and session == null, decision: hold}
  - {id: staff, text: staff, when: '(card_count_1h ?? 0) == 2', decision: allow}
  - {id: gifts, text: gifts, when: "category == 'giftcard' and amount > 1", decision: block}
  - {id: asleep, text: asleep, when: amount > 0, decision: block, enabled: false}
"""
BEFORE = "rules: [{id: large, text: large, when: amount > 250, decision: hold}]"
THRESHOLDS = {
    "m-1": Thresholds(flag=0.3, hold=0.6, block=0.9),
    "m-2": Thresholds(flag=0.5, hold=0.8, block=1.000001),
}


def past(*rulesets: Ruleset) -> Past:
    return Past(THRESHOLDS.get, {one.version: one for one in rulesets}.get)


def record(number: int, chance: random.Random, rules_versions: list[str]) -> FeatureRecord:
    schema = chance.choice(list(get_schema_widths()))
    values = np.array([chance.choice([0, 1, 2, 3, 19.99, 250]) for _ in NAMES], dtype=np.float32)
    values[[chance.random() < 0.3 for _ in NAMES]] = np.nan
    amount = chance.choice([0, 199_99, 200_00, 250_01, chance.randrange(40_000)])
    return FeatureRecord(
        transaction_id=f"t-{number}", retailer="shop", event_time=NOON + timedelta(minutes=7 * number),
        applied_seq=number + 1, feature_schema=schema, values=values[: get_schema_widths()[schema]].tobytes(),
        score=round(chance.random(), 6), model_version=chance.choice(["m-1", "m-2", "m-gone"]),
        rules_version=chance.choice([*rules_versions, "r-gone"]), decision=chance.choice(DECISIONS),
        amount_base_minor=amount,
    )  # fmt: skip


def decided_by(score: float, thresholds: Thresholds, decisions: list[str]) -> str:
    """The rule of docs/architecture.md, for one transaction."""
    steps = (thresholds.flag, thresholds.hold, thresholds.block)
    model = DECISIONS[sum(score >= step for step in steps)]
    if decisions and set(decisions) == {"allow"}:
        return "allow"
    return max([model, *decisions], key=DECISIONS.index)


def fired_rules(rules: Ruleset, one: FeatureRecord) -> list[str]:
    """One transaction, one condition after another, over plain values."""
    found = np.full(len(NAMES), np.nan, dtype=np.float32)
    given = np.frombuffer(one.values, "<f4")
    found[: len(given)] = given
    row: dict[str, Any] = dict(zip(NAMES, found, strict=True))
    for name in ENTITY_NAMES:
        row[name] = None if np.isnan(row[f"{name}_count_1d"]) else "somebody"
    row |= {"amount": one.amount_base_minor / 100, "score": one.score, "category": "never-told"}
    row["hour"] = (to_epoch_ms(one.event_time) % 86_400_000) / 3_600_000
    pairs = zip(rules.rules, rules._conditions, strict=True)
    return [rule.id for rule, condition in pairs if condition.match_one(row)]


def decisions_of(rules: Ruleset, fired: list[str]) -> list[str]:
    return [rule.decision for rule in rules.rules if rule.id in fired]


def told(counts: Mapping[str, Counter[str]]) -> ByOutcome:
    return ByOutcome(*(Tally(counts["n"][one], counts["money"][one]) for one in ("fraud", "genuine", "unknown")))


class Pile:
    """Counters by name, filled one transaction at a time."""

    def __init__(self) -> None:
        self.counts: dict[Any, dict[str, Counter[str]]] = {}

    def add(self, key: Any, outcome: str, amount: int) -> None:
        entry = self.counts.setdefault(key, {"n": Counter(), "money": Counter()})
        entry["n"][outcome] += 1
        entry["money"][outcome] += amount

    def tell(self, key: Any) -> ByOutcome:
        return told(self.counts.get(key, {"n": Counter(), "money": Counter()}))


def assert_equal_to_brute_force(
    found: DryRun,
    rules: Ruleset,
    before: Mapping[str, Ruleset],
    records: list[FeatureRecord],
    known: Mapping[str, bool],
) -> None:
    pile, overruled, unjudged = Pile(), 0, 0
    for one in records:
        outcome = {True: "fraud", False: "genuine", None: "unknown"}[known.get(one.transaction_id)]
        fired = fired_rules(rules, one)
        thresholds, old = THRESHOLDS.get(one.model_version), before.get(one.rules_version)
        after = one.decision
        if thresholds is None or old is None:
            unjudged += 1
        elif decided_by(one.score, thresholds, decisions_of(old, fired_rules(old, one))) == one.decision:
            after = decided_by(one.score, thresholds, decisions_of(rules, fired))
        else:
            overruled += 1
        pile.add("all", outcome, one.amount_base_minor)
        for rule in fired:
            pile.add(("fired", rule), outcome, one.amount_base_minor)
            if after != one.decision:
                pile.add(("changed", rule), outcome, one.amount_base_minor)
        if after != one.decision:
            pile.add((one.decision, after), outcome, one.amount_base_minor)
    assert found.seen == pile.tell("all")
    assert (found.overruled, found.unjudged, found.unusable, found.complete) == (overruled, unjudged, 0, True)
    for trial in found.rules:
        assert trial.fired == pile.tell(("fired", trial.rule)), trial.rule
        assert trial.changed == pile.tell(("changed", trial.rule)), trial.rule
    assert set(found.changes) == {key for key in pile.counts if key != "all" and key[0] in DECISIONS}
    assert all(pile.tell(key) == value for key, value in found.changes.items())


def slices_of(records: list[FeatureRecord], known: Mapping[str, bool], size: int) -> Iterator[Slice]:
    for start in range(0, len(records), size):
        yield read_slice(records[start : start + size], known)


@pytest.mark.parametrize("source", [TRIED, None])
def test_a_dry_run_equals_brute_force(chance: random.Random, source: str | None) -> None:
    rules = load_default_rules() if source is None else load_rules(source, where="tried")
    before = {one.version: one for one in (load_rules(BEFORE, where="before"), load_rules(TRIED, where="tried"))}
    records = [record(number, chance, list(before)) for number in range(600)]
    known = {one.transaction_id: chance.random() < 0.5 for one in records if chance.random() < 0.6}
    seen: list[int] = []
    found = run_dry(rules, slices_of(records, known, 250), past(*before.values()), currency="EUR", progress=seen.append)
    assert_equal_to_brute_force(found, rules, before, records, known)
    assert seen == [250, 500, 600]
    assert (found.first_ms, found.last_ms) == (to_epoch_ms(NOON), to_epoch_ms(records[-1].event_time))
    assert sum(trial.fired.all.transactions for trial in found.rules) > 100 or source is None
    assert found.overruled
    assert source is None or found.changes


def test_a_rule_that_reads_a_text_is_named_as_one_that_could_not_be_tried(chance: random.Random) -> None:
    rules = load_rules(TRIED, where="tried")
    records = [record(number, chance, [rules.version]) for number in range(50)]
    found = run_dry(rules, slices_of(records, {}, 50), past(rules), currency="EUR")
    assert {trial.rule: trial.missing for trial in found.rules if trial.missing} == {"gifts": ("category",)}
    assert all(not trial.fired.all.transactions for trial in found.rules if trial.missing)
    assert not any(
        missing for missing in load_default_rules().list_missing(set(NAMES) | {"hour", "score"}, ENTITY_NAMES)
    )


def test_records_of_unknown_schemas_and_damaged_ones_are_counted_and_left_out(chance: random.Random) -> None:
    rules = load_rules(TRIED, where="tried")
    good = record(0, chance, [rules.version])
    bad = [
        msgspec.structs.replace(good, feature_schema="v9-0123456789ab"),
        msgspec.structs.replace(good, values=good.values[:-1]),
        msgspec.structs.replace(good, decision="perhaps"),
    ]
    found = run_dry(rules, [read_slice([good, *bad], {}), read_slice([], {})], past(rules), currency="EUR")
    assert (found.seen.all.transactions, found.unusable) == (1, 3)


def test_a_cancelled_dry_run_tells_what_was_tried_until_then(chance: random.Random) -> None:
    rules = load_rules(TRIED, where="tried")
    records = [record(number, chance, [rules.version]) for number in range(90)]
    seen: list[int] = []
    found = run_dry(
        rules, slices_of(records, {}, 30), past(rules), currency="EUR",
        progress=seen.append, is_cancelled=lambda: len(seen) == 2,
    )  # fmt: skip
    assert (found.complete, found.seen.all.transactions) == (False, 60)


def test_amounts_are_those_of_the_base_currency(chance: random.Random) -> None:
    rules = load_rules("rules: [{id: large, text: large, when: amount >= 100, decision: flag}]", where="tried")
    records = [record(number, chance, [rules.version]) for number in range(80)]
    yen = run_dry(rules, slices_of(records, {}, 80), past(rules), currency="JPY")
    assert yen.rules[0].fired.all.transactions == sum(one.amount_base_minor >= 100 for one in records)
