"""The feature schema: one ordered, versioned table, and the record of what serving saw.

A feature vector is float32, one number per row of the table, NaN where something is missing. All scaling and imputation
happen inside the model's graph. The table's hash is in every model and every feature record; a changed table is a new
schema version.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Annotated

from msgspec import Meta, Struct

from contract.events import Identifier, Moment, RetailerName
from contract.risk import HABIT_ENTITIES, PLAIN_RATIO, RISK_WINDOWS, UNUSUAL_WINDOWS
from contract.windows import DISTINCT_WINDOWS, ENTITIES, WINDOWS, Entity

CATEGORY_BUCKETS = 32
"""Hash buckets of a categorical feature: CRC-32 of the UTF-8 text, modulo this; NaN where missing."""

SCHEMA_VERSION = 2
"""Version 2 adds to version 1 at its end, so that a vector of version 2 begins with that of version 1."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One column: `group` is what a reason speaks of, `text` how it is shown to a person."""

    name: str
    group: str
    text: str
    unit: str
    buckets: int = 0
    """Above 0: a hash bucket in [0, buckets), not a quantity."""


GROUPS = {
    "amount": "the amount itself",
    "basket": "basket, discount and session",
    "time": "time of day and week",
    "account": "age of the account",
    "country": "countries that do not match",
    "kind": "channel, payment method or category",
    "history": "amount against the usual amounts",
    "customer": "what this customer did lately",
    "card": "what this card did lately",
    "device": "what this device did lately",
    "ip": "what this network address did lately",
    "email": "what this e-mail address did lately",
    "address": "what this delivery address received lately",
    "coupon": "how this coupon was used lately",
    "terminal": "what this till or store saw lately",
    "unusual": "amounts unlike the usual ones",
    "risk": "frauds that became known lately",
}
"""Feature groups; a reason says which of them raised the score."""

HISTORY_ENTITIES = ("customer", "card", "device", "terminal")

_STATIC = (
    Feature("amount", "amount", "amount", "base currency, major units"),
    Feature("discount_share", "basket", "discount as a share of the price before it", "ratio"),
    Feature("basket_items", "basket", "items in the basket", "count"),
    Feature("amount_per_item", "basket", "amount per item", "base currency, major units"),
    Feature("session", "basket", "time from session start to payment", "s"),
    Feature("hour_sin", "time", "time of day", "sine of the UTC hour angle"),
    Feature("hour_cos", "time", "time of day", "cosine of the UTC hour angle"),
    Feature("weekday", "time", "day of the week, Monday 0", "day"),
    Feature("weekend", "time", "Saturday or Sunday", "0 or 1"),
    Feature("night", "time", "between 00:00 and 06:00 UTC", "0 or 1"),
    Feature("account_age", "account", "age of the account", "day"),
    Feature("country_billing_delivery_differ", "country", "billing and delivery country differ", "0 or 1"),
    Feature("country_billing_ip_differ", "country", "billing and network country differ", "0 or 1"),
    Feature("country_billing_card_differ", "country", "billing and card country differ", "0 or 1"),
    Feature("country_card_ip_differ", "country", "card and network country differ", "0 or 1"),
    Feature("channel", "kind", "channel", "hash bucket", CATEGORY_BUCKETS),
    Feature("payment_method", "kind", "payment method", "hash bucket", CATEGORY_BUCKETS),
    Feature("category", "kind", "category", "hash bucket", CATEGORY_BUCKETS),
)

_WINDOW_TEXT = {"1m": "a minute", "10m": "10 minutes", "1h": "an hour", "1d": "a day", "7d": "7 days", "30d": "30 days"}
_SPAN_TEXT = {"1d": "a day", "3d": "3 days", "7d": "7 days", "14d": "14 days"}


@cache
def get_schema(version: int = SCHEMA_VERSION) -> tuple[Feature, ...]:
    """The whole table of a version, in the order of the vector; raises ValueError for a version that never was."""
    if version == 1:
        return _version_1()
    if version == 2:
        return (*_version_1(), *(feature for entity in ENTITIES for feature in _version_2(entity)))
    raise ValueError(f"no feature schema has version {version}")


def _version_1() -> tuple[Feature, ...]:
    table = list(_STATIC)
    texts = {entity.name: entity.text for entity in ENTITIES}
    table.extend(
        Feature(
            f"{name}_amount_ratio", "history", f"amount against the mean of {texts[name]}'s earlier 30 days", "ratio"
        )
        for name in HISTORY_ENTITIES
    )
    for entity in ENTITIES:
        name = entity.name
        for window in WINDOWS:
            span = _WINDOW_TEXT[window.name]
            tile = f", in tiles of {window.tile_ms // 3_600_000} h" if window.tile_ms else ""
            table.append(
                Feature(f"{name}_count_{window.name}", name, f"transactions of {entity.text} in {span}", f"count{tile}")
            )
            table.append(
                Feature(
                    f"{name}_sum_{window.name}",
                    name,
                    f"amount of {entity.text} in {span}",
                    f"base currency, major units{tile}",
                )
            )
            table.append(
                Feature(
                    f"{name}_mean_{window.name}",
                    name,
                    f"mean amount of {entity.text} in {span}",
                    f"base currency, major units{tile}",
                )
            )
        table.append(Feature(f"{name}_since_last", name, f"time since the last transaction of {entity.text}", "s"))
        for counterpart in entity.counterparts:
            table.extend(
                Feature(
                    f"{name}_distinct_{counterpart}_{window.name}",
                    name,
                    f"different {counterpart}s of {entity.text} in {_WINDOW_TEXT[window.name]}",
                    "count",
                )
                for window in DISTINCT_WINDOWS
            )
            table.append(
                Feature(
                    f"{name}_since_{counterpart}",
                    name,
                    f"time since {entity.text} was last seen with this {counterpart}",
                    "s",
                )
            )
        table.append(Feature(f"{name}_saturated", name, f"counts of {entity.text} are lower bounds", "0 or 1"))
    return tuple(table)


def _version_2(entity: Entity) -> tuple[Feature, ...]:
    """What version 2 adds for one entity (contract/risk.py)."""
    name, whom, tile = entity.name, entity.text, ", in tiles of 6 h"
    risk = [
        Feature(
            f"{name}_{kind}_{window.name}", "risk", text.format(whom=whom, span=_WINDOW_TEXT[window.name]), unit + tile
        )
        for window in RISK_WINDOWS
        for kind, text, unit in (
            ("frauds", "known frauds of {whom} in {span} before the label delay", "count"),
            ("plain_frauds", "known frauds of {whom} of a usual amount in {span} before the label delay", "count"),
            ("fraud_rate", "share of frauds of {whom} in {span} before the label delay", "ratio"),
        )
    ]
    risk += [
        Feature(f"{name}_frauds_early", "risk", f"frauds of {whom} that became known early", "count" + tile),
        Feature(f"{name}_since_fraud", "risk", f"time since the newest known fraud of {whom}", "s"),
        Feature(f"{name}_since_plain_fraud", "risk", f"time since the newest known fraud of {whom} of a usual amount", "s"),
        Feature(f"{name}_since_first_plain_fraud", "risk", f"time since the first of these frauds of {whom}", "s"),
        Feature(f"{name}_genuine_since_fraud", "risk", f"genuine transactions of {whom} since its newest known fraud", "count" + tile),
        Feature(
            f"{name}_genuine_since_plain_fraud", "risk", f"genuine transactions of {whom} since its newest known fraud of a usual amount",
            "count" + tile,
        ),
    ]  # fmt: skip
    if name not in HABIT_ENTITIES:
        return tuple(risk)
    habit = [Feature(f"{name}_usual_ratio", "unusual", f"amount against the usual mean of {whom}", "ratio")]
    habit += [
        Feature(
            f"{name}_unusual_{window.name}",
            "unusual",
            f"unusual amounts of {whom} in {_SPAN_TEXT[window.name]}",
            "count",
        )
        for window in UNUSUAL_WINDOWS
    ]
    habit += [
        Feature(
            f"{name}_unusual_excess", "unusual", f"how far unusual amounts of {whom} went in 14 days, summed", "ratio"
        ),
        Feature(f"{name}_since_unusual", "unusual", f"time since the last unusual amount of {whom}", "s"),
    ]
    return (*risk, *habit)


@cache
def get_feature_names(version: int = SCHEMA_VERSION) -> tuple[str, ...]:
    """Feature names in the order of the vector."""
    return tuple(feature.name for feature in get_schema(version))


@cache
def get_schema_hash(version: int = SCHEMA_VERSION) -> str:
    """`v<version>-<12 hex digits>` over every name, group, unit and bucket count, in order."""
    rows = "\n".join(f"{f.name}|{f.group}|{f.unit}|{f.buckets}" for f in get_schema(version))
    return f"v{version}-{hashlib.sha256(rows.encode()).hexdigest()[:12]}"


@cache
def get_schema_widths() -> dict[str, int]:
    """By hash, how many features a schema has: every schema whose models are served. Each is a prefix of the newest."""
    return {get_schema_hash(version): len(get_feature_names(version)) for version in range(1, SCHEMA_VERSION + 1)}


@cache
def find_plain_columns() -> tuple[int, int]:
    """Columns of a vector that tell a plain fraud (contract/risk.py); `is_plain` judges their values."""
    return get_feature_names().index("customer_usual_ratio"), get_feature_names().index(
        f"customer_unusual_{UNUSUAL_WINDOWS[-1].name}"
    )


def is_plain(usual_ratio: float, unusual: float) -> bool:
    """Whether a fraud with these values (NaN: missing) is not explained by its amount."""
    return not usual_ratio > PLAIN_RATIO and not unusual > 0


class FeatureRecord(Struct, frozen=True, kw_only=True):
    """What serving saw for one transaction, for training. Topic `<retailer>.features.v1`, key = transaction_id."""

    transaction_id: Identifier
    retailer: RetailerName
    event_time: Moment
    applied_seq: Annotated[int, Meta(ge=1)]
    """The order in which the store applied the retailer's transactions."""
    feature_schema: str
    values: bytes
    """Little-endian float32, one per feature of the schema, base64 in JSON."""
    score: float
    model_version: str
    rules_version: str
    decision: str
    amount_base_minor: int
    """Minor units of the retailer's base currency, for costs."""
    entities: bytes = b""
    """Which entities the transaction named: a bit mask (2 bytes, little-endian, in the order of contract.windows.ENTITIES), then
    8 bytes for each, BLAKE2b of its token. Empty in records from before feature schema v2."""
    control: bool = False
    """True: it would have been held or blocked and was let through as `flag`, so that its true label can be learned."""
