"""Reasons: the right group is named, with its numbers, and no token ever."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from contract.features import GROUPS, get_feature_names, get_schema
from scoring.decision.explain import (
    REASONS_MAX,
    explain_rule,
    group_reasons,
    group_weights,
    mark_reason,
    score_reason,
    show,
)
from scoring.ports import ListHit
from scoring.rules.ruleset import Rule
from support.workbench import transaction

ORDINARY = np.zeros(len(get_feature_names()), dtype=np.float32)
GROUP_NAMES = list(GROUPS)


def row(**values: float) -> np.ndarray:
    found = np.full(len(get_feature_names()), np.nan)
    for name, value in ({"amount": 50.0} | values).items():
        found[get_feature_names().index(name)] = value
    return found


def text(
    group: str, values: Mapping[str, float], fields: Mapping[str, Any] | None = None, ordinary: np.ndarray = ORDINARY
) -> str:
    weights = np.array([1.0 if name == group else 0.0 for name in GROUP_NAMES])
    (reason,) = group_reasons(weights, transaction(**(fields or {})), row(**values), ordinary, "EUR")
    assert reason.code == f"group:{group}"
    return reason.text


def test_every_feature_belongs_to_a_group_that_can_be_explained() -> None:
    assert {feature.group for feature in get_schema()} == set(GROUPS)


def test_a_groups_weight_is_what_the_score_falls_by_when_it_becomes_ordinary() -> None:
    weights = np.zeros(len(get_feature_names()))
    weights[get_feature_names().index("amount")], weights[get_feature_names().index("card_count_1h")] = 0.01, 0.05
    calls = []

    def score(vectors: np.ndarray) -> np.ndarray:
        calls.append(len(vectors))
        return np.asarray(np.nan_to_num(vectors.astype(float)) @ weights)

    vectors = np.stack([row(amount=30.0, card_count_1h=4.0), row(amount=10.0)]).astype(np.float32)
    found = group_weights(vectors, score(vectors), ORDINARY, score)
    assert calls == [2, 2 * 2 * len(GROUPS) + 1]
    expected = np.zeros((2, len(GROUPS)))
    expected[0, GROUP_NAMES.index("amount")], expected[0, GROUP_NAMES.index("card")] = 0.3, 0.2
    expected[1, GROUP_NAMES.index("amount")] = 0.1
    assert found == pytest.approx(expected)


def test_where_two_groups_each_suffice_the_weight_is_what_each_does_alone() -> None:
    amount, card = get_feature_names().index("amount"), get_feature_names().index("card_count_1h")

    def score(vectors: np.ndarray) -> np.ndarray:
        return np.where((vectors[:, amount] > 40) | (vectors[:, card] > 3), 1.0, 0.1)

    vectors = np.stack([row(amount=50.0, card_count_1h=4.0), row(amount=50.0)]).astype(np.float32)
    found = group_weights(vectors, score(vectors), ORDINARY, score)
    expected = np.zeros((2, len(GROUPS)))
    expected[0, GROUP_NAMES.index("amount")] = expected[0, GROUP_NAMES.index("card")] = 0.9
    expected[1, GROUP_NAMES.index("amount")] = 0.9
    assert found == pytest.approx(expected)


def test_the_heaviest_groups_come_first_and_those_that_lower_the_score_not_at_all() -> None:
    weights = np.linspace(0.001, 0.2, len(GROUP_NAMES))
    weights[3] = -0.5
    found = group_reasons(weights, transaction(), row(), ORDINARY, "EUR")
    assert [one.code for one in found] == [f"group:{name}" for name in GROUP_NAMES[::-1][:REASONS_MAX]]
    assert [one.weight for one in found] == sorted((one.weight for one in found), reverse=True)
    assert group_reasons(np.full(len(GROUP_NAMES), 0.004), transaction(), row(), ORDINARY, "EUR") == []


@pytest.mark.parametrize(
    ("group", "values", "expected"),
    [
        ("card", {"card_count_1d": 7, "card_count_1h": 7}, "7 transactions of this card in an hour"),
        ("device", {"device_count_1d": 5, "device_distinct_card_1h": 5}, "card testing: 5 different cards of this device in an hour"),
        ("history", {"customer_amount_ratio": 8.2}, "payment anomaly: amount of 50.00 EUR, 8.2 times the mean of this customer's earlier 30 days"),
        ("history", {}, "nothing earlier to compare the amount with"),
        ("basket", {"discount_share": 0.4}, "discount of 40%"),
        ("basket", {"basket_items": 3, "amount_per_item": 9.5}, "3 items, 9.50 EUR each"),
        ("basket", {"basket_items": 1, "amount_per_item": 9.5}, "1 item, 9.50 EUR"),
        ("amount", {}, "amount of 50.00 EUR, ordinary is 0.00 EUR"),
        ("account", {"account_age": 0.25}, "account is 6 hours old"),
        ("account", {}, "no known account"),
        ("email", {}, "no email is known"),
        ("terminal", {"terminal_count_1d": 1, "terminal_count_30d": 1}, "first transaction of this till or store in 30 days"),
        ("time", {}, "12:00 on a Monday (UTC)"),
    ],
)  # fmt: skip
def test_a_reason_speaks_in_numbers(group: str, values: dict[str, float], expected: str) -> None:
    assert text(group, values) == expected


def test_a_feature_is_telling_against_what_is_ordinary_for_it() -> None:
    ordinary = ORDINARY.copy()
    ordinary[get_feature_names().index("terminal_count_1d")] = 900
    ordinary[get_feature_names().index("terminal_count_1h")] = 40
    values = {"terminal_count_1d": 1000, "terminal_count_1h": 400}
    assert text("terminal", values, ordinary=ordinary) == "400 transactions of this till or store in an hour"


def test_a_quick_session_is_told_against_the_ordinary_one() -> None:
    ordinary = ORDINARY.copy()
    ordinary[get_feature_names().index("session")] = 300
    assert text("basket", {"session": 20.0}, ordinary=ordinary) == "paid 20 seconds after entering the shop"


@pytest.mark.parametrize(
    ("group", "fields", "values", "kind"),
    [
        ("basket", {}, {"session": 1.5}, "bot"),
        ("device", {}, {"device_count_1d": 4, "device_count_1m": 4}, "bot"),
        ("coupon", {"coupon": "X"}, {"coupon_count_1d": 9, "address_distinct_customer_7d": 3}, "coupon abuse"),
        (
            "customer",
            {},
            {"customer_count_1d": 3, "customer_distinct_device_7d": 2, "account_age": 90},
            "account takeover",
        ),
        ("ip", {}, {"ip_count_1d": 3, "ip_distinct_card_1h": 3}, "card testing"),
        ("amount", {}, {"card_amount_ratio": 4}, "payment anomaly"),
    ],
)
def test_a_pattern_is_called_by_its_kind_of_fraud(
    group: str, fields: dict[str, object], values: dict[str, float], kind: str
) -> None:
    assert text(group, values, fields).startswith(f"{kind}: ")


def test_countries_and_kinds_show_their_values() -> None:
    assert text("country", {}, {"country_billing": "DE", "country_ip": "BR"}) == "countries: billing DE, network BR"
    assert text("kind", {}, {"channel": "app"}).endswith(": app, toys")
    assert text("country", {}) == "no country is known"


@pytest.mark.parametrize("group", GROUP_NAMES)
def test_no_reason_holds_a_token_and_every_group_has_words_for_any_values(group: str) -> None:
    secrets: dict[str, Any] = dict.fromkeys(
        ("customer", "card", "device", "ip", "email", "address", "coupon", "terminal"), "k1:SECRET"
    )
    generator = np.random.default_rng(5)
    for _ in range(20):
        values = generator.lognormal(1, 2, len(get_feature_names()))
        values[generator.random(len(values)) < 0.3] = np.nan
        weights = np.array([1.0 if name == group else 0.0 for name in GROUP_NAMES])
        (reason,) = group_reasons(weights, transaction(**secrets), values, ORDINARY, "EUR")
        assert "SECRET" not in reason.text
        assert reason.text


def test_a_rules_text_is_filled_with_its_features() -> None:
    rule = Rule(
        id="r",
        text="{card_count_1h} payments, {card_sum_1h} in sum, {session}",
        when="1 < 2",
        decision="flag",
        kind="bot",
    )
    found = explain_rule(rule, row(card_count_1h=9, card_sum_1h=1234.5), "EUR")
    assert (found.code, found.weight) == ("rule:r", 1.0)
    assert found.text == "bot: 9 payments, 1234.50 EUR in sum, unknown"


def test_lists_and_bare_scores_have_a_reason_of_their_own() -> None:
    assert mark_reason(ListHit("card", "deny")).text == "the card is on the deny list"
    assert score_reason(0.8123456).text == "the model's score of 0.81 as a whole"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("session", 1.25, "1.2 seconds"), ("session", 45.0, "45 seconds"), ("session", 150.0, "2 minutes"),
        ("card_since_last", 7_200.0, "2 hours"), ("account_age", 400.0, "400 days"), ("card_count_30d", 12.0, "12"),
        ("card_sum_7d", 3.5, "3.50 EUR"), ("customer_amount_ratio", 12.345, "12.3"), ("amount", math.nan, "unknown"),
    ],
)  # fmt: skip
def test_values_are_shown_with_their_unit(name: str, value: float, shown: str) -> None:
    assert show(name, value, "EUR") == shown
