"""Reasons for people: which part of a transaction raised its score, in words and numbers. Pure but for the model call.

Leave one group out: each group of features is replaced by what is ordinary (the model's manifest says what), and the
fall of the score is the group's weight, in [-1, 1]. Where several groups each suffice for the score, none of them lets it
fall alone; there the weight is how far the score of an all-ordinary transaction rises by this group only. All variants of
all events of a batch are scored by one call.
Texts hold numbers and field values of small vocabularies (channel, country), never tokens.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.events import Transaction
from contract.features import GROUPS, get_feature_names, get_schema
from contract.risk import HABIT_ENTITIES, RISK_WINDOWS, UNUSUAL_WINDOWS
from contract.verdicts import Reason
from contract.windows import DISTINCT_WINDOWS, ENTITIES, ENTITY_NAMES, EXACT_WINDOWS
from scoring.ports import ListHit
from scoring.rules.ruleset import PLACEHOLDER, Rule

REASONS_MAX = 5
WEIGHT_MIN = 0.005
"""A group that moves the score by less explains nothing."""
KIND_TEXTS = {
    "payment_anomaly": "payment anomaly",
    "card_testing": "card testing",
    "account_takeover": "account takeover",
    "coupon_abuse": "coupon abuse",
    "bot": "bot",
}
_LIST_TEXTS = {
    "deny": "the {entity} is on the deny list",
    "allow": "the {entity} is on the allow list",
    "watch": "the {entity} is being watched",
}


class Telling(NamedTuple):
    """A feature that stands out in its group."""

    name: str
    value: float
    ordinary: float


def group_weights(
    vectors: NDArray[np.float32],
    scores: NDArray[np.float64],
    ordinary: NDArray[np.float32],
    score: Callable[[NDArray[np.float32]], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """What each group does to the score, shape (n, number of groups), in the order of GROUPS.

    How far the score falls when the group becomes ordinary; for an event where no group reaches WEIGHT_MIN so, how far the
    score of the ordinary vector rises when it takes the group from the event.

    Args:
        vectors: shape (n, F).
        scores: of these vectors, shape (n,), as they were published.
        ordinary: shape (F,), NaN where ordinary is missing.
        score: the model; called once, with 2 x n x groups + 1 rows.
    """
    groups = list(_columns_of_groups().values())
    without = np.repeat(vectors[:, None, :], len(groups), axis=1)
    alone = np.broadcast_to(ordinary, without.shape).copy()
    for place, columns in enumerate(groups):
        without[:, place, columns] = ordinary[columns]
        alone[:, place, columns] = vectors[:, columns]
    width = vectors.shape[1]
    flat = score(np.concatenate([without.reshape(-1, width), alone.reshape(-1, width), ordinary[None, :]]))
    falls, rises = flat[:-1].reshape(2, len(vectors), len(groups))
    falls = scores[:, None] - falls
    rises = rises - flat[-1]
    weights: NDArray[np.float64] = np.where(falls.max(axis=1, keepdims=True) >= WEIGHT_MIN, falls, rises)
    return weights


def group_reasons(
    weights: NDArray[np.float64],
    transaction: Transaction,
    quantities: NDArray[np.float64],
    ordinary: NDArray[np.float32],
    currency: str,
) -> list[Reason]:
    """The groups of one event that raised its score, the strongest first; `weights` has shape (groups,)."""
    order = np.argsort(-weights, kind="stable")
    groups = list(GROUPS)
    event = _Event(transaction, _ByName(quantities.tolist()), _ByName(ordinary.tolist()), currency)
    return [
        Reason(code=f"group:{groups[place]}", text=_text(groups[place], event), weight=round(float(weights[place]), 6))
        for place in order[:REASONS_MAX]
        if weights[place] >= WEIGHT_MIN
    ]


def explain_rule(rule: Rule, quantities: NDArray[np.float64], currency: str) -> Reason:
    """Why a rule fired, with the numbers that its text asks for.

    `quantities`: one transaction's row of them, (F,) float64, NaN where a feature is missing.
    """
    places = _places()

    def number(name: str) -> str:
        return show(name, float(quantities[places[name]]), currency)

    text = PLACEHOLDER.sub(lambda match: number(match.group(1)), rule.text)
    return Reason(code=f"rule:{rule.id}", text=_with_kind(rule.kind, text), weight=1.0)


def mark_reason(mark: ListHit) -> Reason:
    """What a list or an override said; names the field, never its value."""
    code = f"list:{mark.mark}"
    return Reason(code=code, text=_LIST_TEXTS[mark.mark].format(entity=mark.entity), weight=1.0)


def score_reason(score: float) -> Reason:
    """For a decision of the model that no single group explains, or that there was no time to explain."""
    return Reason(code="policy:score", text=f"the model's score of {score:.2f} as a whole", weight=round(score, 6))


def show(name: str, value: float, currency: str) -> str:
    """A feature's value for a person, with its unit where it has one."""
    if np.isnan(value):
        return "unknown"
    unit = _units()[name]
    if unit.startswith("base currency"):
        return f"{value:.2f} {currency}"
    if unit == "s":
        return _duration(value)
    if unit == "day" and name == "account_age":
        return _duration(value * 86_400)
    return f"{value:.0f}" if unit.startswith("count") else f"{value:.3g}"


def _duration(seconds: float) -> str:
    for length, word in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {word}"
    return f"{seconds:.0f} seconds" if seconds >= 10 else f"{seconds:.1f} seconds"


class _ByName:
    """A row of features, read by name; no dictionary is made for the few names that a reason needs."""

    __slots__ = ("_values",)

    def __init__(self, values: list[float]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> float:
        return self._values[_places()[name]]


class _Event(NamedTuple):
    transaction: Transaction
    value: _ByName
    ordinary: _ByName
    currency: str

    def show(self, name: str) -> str:
        return show(name, self.value[name], self.currency)

    def at_least(self, name: str, limit: float) -> bool:
        return self.value[name] >= limit  # False for NaN


def _text(group: str, event: _Event) -> str:
    text = _GROUP_TEXTS[group](event) if group in _GROUP_TEXTS else _entity_text(group, event)
    return _with_kind(_kind(group, event), text)


def _with_kind(kind: str | None, text: str) -> str:
    return text if kind is None else f"{KIND_TEXTS[kind]}: {text}"


def _amount_text(event: _Event) -> str:
    return f"amount of {event.show('amount')}, ordinary is {show('amount', event.ordinary['amount'], event.currency)}"


def _history_text(event: _Event) -> str:
    found = _most_telling(event, [f"{name}_amount_ratio" for name in ("customer", "card", "device", "terminal")])
    if found is None:
        return "nothing earlier to compare the amount with"
    entity = _entity_words()[found.name.removesuffix("_amount_ratio")]
    return f"amount of {event.show('amount')}, {found.value:.3g} times the mean of {entity}'s earlier 30 days"


def _basket_text(event: _Event) -> str:
    if not np.isnan(event.value["session"]) and event.value["session"] < 0.25 * event.ordinary["session"]:
        return f"paid {event.show('session')} after entering the shop"
    if event.at_least("discount_share", 0.2):
        return f"discount of {event.value['discount_share']:.0%}"
    if np.isnan(event.value["basket_items"]):
        return GROUPS["basket"]
    if event.value["basket_items"] == 1:
        return f"1 item, {event.show('amount_per_item')}"
    return f"{event.show('basket_items')} items, {event.show('amount_per_item')} each"


def _time_text(event: _Event) -> str:
    moment = event.transaction.event_time
    return f"{moment:%H:%M} on a {moment:%A} (UTC)"


def _account_text(event: _Event) -> str:
    if np.isnan(event.value["account_age"]):
        return "no known account"
    return f"account is {event.show('account_age')} old"


def _country_text(event: _Event) -> str:
    transaction = event.transaction
    known = [
        f"{word} {code}"
        for word, code in (
            ("billing", transaction.country_billing),
            ("delivery", transaction.country_delivery),
            ("network", transaction.country_ip),
            ("card", transaction.country_card),
        )
        if code is not None
    ]
    return f"countries: {', '.join(known)}" if known else "no country is known"


def _kind_text(event: _Event) -> str:
    transaction = event.transaction
    known = [
        text for text in (transaction.channel, transaction.payment_method, transaction.category) if text is not None
    ]
    return f"{GROUPS['kind']}: {', '.join(known)}" if known else GROUPS["kind"]


def _unusual_text(event: _Event) -> str:
    found = _most_telling(event, [f"{name}_usual_ratio" for name in HABIT_ENTITIES])
    lately = _most_telling(event, [f"{name}_unusual_{UNUSUAL_WINDOWS[-1].name}" for name in HABIT_ENTITIES])
    parts = []
    if found is not None:
        whom = _entity_words()[found.name.removesuffix("_usual_ratio")]
        parts.append(f"amount of {event.show('amount')}, {found.value:.3g} times the usual mean of {whom}")
    if lately is not None:
        parts.append(f"{lately.value:.0f} {_feature_words()[lately.name]}")
    return "; ".join(parts) or GROUPS["unusual"]


def _risk_text(event: _Event) -> str:
    longest = RISK_WINDOWS[-1].name
    found = max(
        (
            (event.value[f"{name}_{kind}"], name)
            for name in ENTITY_NAMES
            for kind in (f"frauds_{longest}", "frauds_early")
        ),
        key=lambda pair: pair[0] if pair[0] > 0 else 0.0,
    )
    frauds, name = found
    if not frauds > 0:
        return "no known frauds"
    known = "1 known fraud" if frauds == 1 else f"{frauds:.0f} known frauds"
    return f"{known} of {_entity_words()[name]}, the newest {event.show(f'{name}_since_fraud')} ago"


_GROUP_TEXTS: dict[str, Callable[[_Event], str]] = {
    "amount": _amount_text,
    "history": _history_text,
    "basket": _basket_text,
    "time": _time_text,
    "account": _account_text,
    "country": _country_text,
    "kind": _kind_text,
    "unusual": _unusual_text,
    "risk": _risk_text,
}


def _entity_text(group: str, event: _Event) -> str:
    if np.isnan(event.value[f"{group}_count_1d"]):
        return f"no {group} is known"
    found = _most_telling(event, _candidates()[group])
    if found is None:
        words = _entity_words()[group]
        first = event.value[f"{group}_count_30d"] <= 1
        return f"first transaction of {words} in 30 days" if first else GROUPS[group]
    return f"{show(found.name, found.value, event.currency)} {_feature_words()[found.name]}"


def _most_telling(event: _Event, candidates: Sequence[str]) -> Telling | None:
    """The feature with the greatest value against its ordinary one; the first of equals; None where none stands out."""
    best: tuple[float, Telling] | None = None
    for name in candidates:
        value, ordinary = event.value[name], event.ordinary[name]
        usual = max(1.0, ordinary)  # in this order: 1 for NaN, too
        if value > usual and (best is None or value / usual > best[0]):
            best = value / usual, Telling(name, value, ordinary)
    return best[1] if best else None


def _kind(group: str, event: _Event) -> str | None:
    """The kind of fraud that the group's numbers look like; None where no pattern fits."""
    return next((kind for kind, fits in _PATTERNS.get(group, ()) if fits(event)), None)


def _testing(event: _Event) -> bool:
    return any(event.at_least(f"{entity}_distinct_card_1h", 3) for entity in ("device", "ip", "email", "customer")) or (
        event.at_least("card_count_10m", 4) and event.value["amount"] < 20
    )


def _taking_over(event: _Event) -> bool:
    strange_device = event.at_least("customer_distinct_device_7d", 2) and np.isnan(event.value["customer_since_device"])
    return strange_device and event.at_least("account_age", 30)


def _abusing(event: _Event) -> bool:
    many = any(
        event.at_least(name, 3)
        for name in ("address_distinct_customer_7d", "device_distinct_customer_7d", "ip_distinct_customer_7d")
    )
    return event.transaction.coupon is not None and many


def _rushing(event: _Event) -> bool:
    return event.value["session"] < 3 or event.at_least("device_count_1m", 4) or event.at_least("ip_count_1m", 8)


def _anomalous(event: _Event) -> bool:
    return any(
        event.at_least(f"{name}_{against}", 3) for name in HABIT_ENTITIES for against in ("amount_ratio", "usual_ratio")
    )


_Patterns = tuple[tuple[str, Callable[[_Event], bool]], ...]
_ENTITY_PATTERNS: _Patterns = (
    ("card_testing", _testing),
    ("coupon_abuse", _abusing),
    ("bot", _rushing),
    ("account_takeover", _taking_over),
)
_PATTERNS: dict[str, _Patterns] = {
    "amount": (("payment_anomaly", _anomalous),),
    "unusual": (("account_takeover", _taking_over), ("payment_anomaly", _anomalous)),
    "history": (("account_takeover", _taking_over), ("payment_anomaly", _anomalous)),
    "country": (("account_takeover", _taking_over), ("payment_anomaly", _anomalous)),
    "basket": (("bot", lambda event: event.value["session"] < 3), ("coupon_abuse", _abusing)),
    "account": (("coupon_abuse", _abusing), ("account_takeover", _taking_over)),
    "coupon": (("coupon_abuse", _abusing),),
    "card": (("card_testing", _testing), ("payment_anomaly", _anomalous)),
    "customer": (("account_takeover", _taking_over), ("card_testing", _testing), ("bot", _rushing)),
    "device": _ENTITY_PATTERNS,
    "ip": _ENTITY_PATTERNS,
    "email": (("card_testing", _testing),),
    "address": (("coupon_abuse", _abusing),),
}


@cache
def _columns_of_groups() -> dict[str, NDArray[np.intp]]:
    return {
        group: np.array([place for place, feature in enumerate(get_schema()) if feature.group == group])
        for group in GROUPS
    }


@cache
def _candidates() -> dict[str, list[str]]:
    """Per entity the counts that a person grasps, shorter windows first."""
    found = {}
    for entity in ENTITIES:
        counts = [f"{entity.name}_count_{window.name}" for window in EXACT_WINDOWS]
        distinct = [
            f"{entity.name}_distinct_{other}_{window.name}"
            for other in entity.counterparts
            for window in DISTINCT_WINDOWS
        ]
        found[entity.name] = distinct + counts
    return found


@cache
def _feature_words() -> dict[str, str]:
    return {feature.name: feature.text for feature in get_schema()}


@cache
def _units() -> dict[str, str]:
    return {feature.name: feature.unit for feature in get_schema()}


@cache
def _entity_words() -> dict[str, str]:
    return {entity.name: entity.text for entity in ENTITIES}


@cache
def _places() -> dict[str, int]:
    return {name: place for place, name in enumerate(get_feature_names())}
