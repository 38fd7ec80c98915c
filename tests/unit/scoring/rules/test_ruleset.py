"""Rules files: every fault at once, versions by content, and the rules that ship with the product."""

from typing import Any

import numpy as np
import pytest
import yaml

from contract.errors import ConfigurationError
from contract.features import get_feature_names
from scoring.rules.ruleset import ONE_BY_ONE_MAX, Ruleset, build_vocabulary, load_default_rules, load_rules
from support.workbench import transaction


def written(*rules: dict[str, object]) -> str:
    return yaml.safe_dump({"rules": list(rules)})


def rule(**changes: object) -> dict[str, object]:
    return {"id": "big", "text": "a large amount", "when": "amount > 100", "decision": "flag"} | changes


def fired(rules: Ruleset, *, fields: dict[str, Any] | None = None, score: float = 0.0, **values: float) -> set[str]:
    """Rules that fire on one event with these features."""
    row = np.full((1, len(get_feature_names())), np.nan)
    for name, value in ({"amount": 50.0} | values).items():
        row[0, get_feature_names().index(name)] = value
    hits = rules.evaluate([transaction(**(fields or {}))], row, np.array([score]))
    return {one.id for one, hit in zip(rules.rules, hits[0], strict=True) if hit}


def faults(source: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        load_rules(source, where="rules.yaml")
    return "\n".join(error.value.faults)


def test_all_faults_are_told_at_once_with_the_rule_they_are_in() -> None:
    text = faults(
        written(rule(when="amunt > 3"), rule(text="{nothing} here"), rule(id="other", when="card_count_1h > 3"))
    )
    assert "rule big: when: unknown name amunt; did you mean amount?" in text
    assert "rule big: the id is used twice" in text
    assert "rule big: text: {nothing} is no feature" in text
    assert "rule other: when: a value that may be missing" in text


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("rules: [", "rules.yaml:1: not valid YAML"),
        ("- a", "expected `rules:`"),
        ("", "expected `rules:`"),
        ("rules: 3", "rules: Input should be a valid list"),
        ("rules: []\nmore: 1", "more: no such setting"),
        ("a: &a [*a]\nrules: 1", "rules.yaml"),
        ("\x00", "not valid YAML"),
        (written(rule(decision="deny")), "decision"),
        (written(rule(id="Big One")), "id"),
        (written(rule(when="")), "when"),
        (written(rule(surprise=1)), "surprise: no such setting"),
        (written(rule(kind="theft")), "kind"),
        (written({"id": "x"}), "when: Field required"),
        (written(*[rule(id=f"r-{n}") for n in range(201)]), "at most 200"),
    ],
)
def test_a_file_that_is_no_set_of_rules_is_refused_in_words(source: str, says: str) -> None:
    assert says in faults(source)


def test_the_version_follows_what_the_rules_say_and_not_how_the_file_looks() -> None:
    plain = load_rules(written(rule()), where="a")
    assert load_rules("# a comment\n" + written(rule()), where="b").version == plain.version
    assert load_rules(written(rule(priority=1)), where="a").version != plain.version
    assert load_rules(written(rule(), rule(id="off", enabled=False)), where="a").version != plain.version
    assert load_rules(plain.source, where="archive").version == plain.version


def test_a_rule_that_is_switched_off_is_checked_but_never_fires() -> None:
    assert fired(load_rules(written(rule(enabled=False)), where="a"), amount=500.0) == set()
    assert "unknown name" in faults(written(rule(enabled=False, when="nothing > 1")))


def test_no_rules_at_all_fire_nothing() -> None:
    rules = load_rules("rules: []", where="a")
    assert rules.evaluate([transaction()], np.zeros((1, len(get_feature_names()))), np.zeros(1)).shape == (1, 0)


def test_a_rule_without_any_name_holds_for_every_event() -> None:
    rules = load_rules(written(rule(when="1 < 2")), where="a")
    for count in (1, ONE_BY_ONE_MAX + 1):
        assert rules.evaluate(
            [transaction()] * count, np.zeros((count, len(get_feature_names()))), np.zeros(count)
        ).all()


def test_fields_hour_and_score_can_be_asked_for() -> None:
    rules = load_rules(
        written(
            rule(id="field", when="channel in ['app', 'web'] and country_ip == null"),
            rule(id="hour", when="hour >= 12 and hour < 12.5"),
            rule(id="score", when="score > 0.5"),
        ),
        where="a",
    )
    assert fired(rules, fields={"channel": "web"}, score=0.6) == {"field", "hour", "score"}
    assert fired(rules, fields={"country_ip": "DE", "channel": "web"}) == {"hour"}


def test_few_events_and_many_give_the_same_hits() -> None:
    generator = np.random.default_rng(3)
    count = 4 * ONE_BY_ONE_MAX
    table = generator.integers(0, 12, (count, len(get_feature_names()))).astype(float)
    table[generator.random(table.shape) < 0.3] = np.nan
    table[:, get_feature_names().index("amount")] = generator.integers(1, 400, count)
    events = [transaction(number, coupon="c" if number % 2 else None) for number in range(count)]
    rules, scores = load_default_rules(), np.zeros(count)
    together = rules.evaluate(events, table, scores)
    alone = [rules.evaluate([event], row[None, :], scores[:1]) for event, row in zip(events, table, strict=True)]
    assert together.any()
    assert np.array_equal(together, np.concatenate(alone))


def test_hash_buckets_are_no_numbers_for_rules() -> None:
    assert build_vocabulary()["category"].kind == "text"


@pytest.mark.parametrize(
    ("expected", "fields", "values"),
    [
        ("card-testing-device", {}, {"device_distinct_card_1h": 5}),
        ("card-testing-address", {}, {"ip_distinct_card_1h": 8, "amount": 2}),
        ("card-testing-burst", {}, {"card_count_10m": 6, "amount": 1}),
        ("stolen-card-abroad", {}, {"customer_amount_ratio": 12, "country_card_ip_differ": 1, "amount": 900}),
        ("stolen-card-spree", {}, {"card_count_1h": 9, "card_sum_1h": 2_000}),
        (
            "takeover-new-devices",
            {},
            {"customer_distinct_device_1d": 3, "customer_amount_ratio": 6, "account_age": 400, "amount": 300},
        ),
        ("takeover-cards", {}, {"customer_distinct_card_1d": 5}),
        ("coupon-accounts", {"coupon": "WELCOME"}, {"address_distinct_customer_7d": 5, "account_age": 1}),
        ("coupon-device", {"coupon": "WELCOME"}, {"device_distinct_customer_7d": 4}),
        ("bot-speed", {}, {"device_count_1m": 6}),
        ("bot-checkout", {}, {"session": 1.2, "ip_count_10m": 4}),
    ],
)
def test_each_shipped_rule_fires_on_its_pattern_alone(
    expected: str, fields: dict[str, object], values: dict[str, float]
) -> None:
    assert fired(load_default_rules(), fields=fields, **values) == {expected}


def test_shipped_rules_leave_an_ordinary_payment_and_an_unknown_one_alone() -> None:
    assert fired(load_default_rules(), card_count_1h=1, card_sum_1h=50, session=90, customer_amount_ratio=1.1) == set()
    assert fired(load_default_rules()) == set()


def test_the_shipped_rules_cover_every_kind_of_fraud() -> None:
    assert {one.kind for one in load_default_rules().rules} == {
        "payment_anomaly", "card_testing", "account_takeover", "coupon_abuse", "bot",
    }  # fmt: skip


def test_a_key_that_stands_twice_is_refused_with_its_line() -> None:
    with pytest.raises(ConfigurationError, match=r"rules\.yaml:2: rules: named twice"):
        load_rules("rules: []\nrules: []\n", where="rules.yaml")
