"""Feature vectors and window updates from transactions and window aggregates: one code for serving and for training. Pure.

Everything works on a batch of n transactions. Quantities are computed in float64 (rules read these) and end as float32
(the model and the feature log read these), so that equal inputs give equal bits wherever they are computed.
"""

import zlib
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache, lru_cache
from hashlib import blake2b
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from contract.clock import to_epoch_ms
from contract.events import Transaction
from contract.features import CATEGORY_BUCKETS, HISTORY_ENTITIES, get_feature_names
from contract.money import get_exponent
from contract.risk import HABIT_ENTITIES, RISK_WINDOWS, USUAL_MIN, list_side_names
from contract.windows import (
    DAY_MS,
    ENTITIES,
    ENTITY_NAMES,
    HOUR_MS,
    SECOND_MS,
    WINDOWS,
    hash_counterpart,
    list_aggregate_names,
)
from scoring.ports import WindowUpdate

Floats = NDArray[np.float64]

DIGEST_BYTES = 8
TOKENS = ("card", "email", "phone", "ip", "address")
"""Always keyed tokens. The digest holds only whether they are there: a row that is read again after its tokenisation key
changed is still the same row."""
_TOKEN_TAIL = 25
"""Length of a token from the dot after its key's id on; by this the fields that may be tokens or plain are told apart."""
_EPOCH_WEEKDAY = 3
"""1970-01-01 was a Thursday; Monday is 0."""
NIGHT_ENDS_H = 6

_entities_of: Callable[[Transaction], tuple[str | None, ...]] = attrgetter(*ENTITY_NAMES)
_content_of: Callable[[Transaction], tuple[object, ...]] = attrgetter(
    "transaction_id", "retailer", "amount_minor", "currency", "channel", "payment_method", "category", "country_billing",
    "country_delivery", "country_ip", "country_card", "basket_items", "discount_minor", "session_s",
)  # fmt: skip
_names_of: Callable[[Transaction], tuple[str | None, ...]] = attrgetter("customer", "device", "coupon", "terminal")
_tokens_of: Callable[[Transaction], tuple[str | None, ...]] = attrgetter(*TOKENS)
_encode_content = msgspec.json.Encoder().encode


def list_aggregate_columns() -> tuple[str, ...]:
    """Names of the K columns of `Applied.aggregates`: `<entity>_<aggregate>`, entities in the order of the contract.

    Those of the windows for every entity, then those of contract/risk.py.
    """
    return tuple(
        f"{entity.name}_{name}"
        for names_of in (list_aggregate_names, list_side_names)
        for entity in ENTITIES
        for name in names_of(entity)
    )


def hash_content(transaction: Transaction, event_time_ms: int) -> bytes:
    """8 bytes over the content: the same for the same source row, however often and through whichever connector it came."""
    since = transaction.customer_since
    present = [token is not None for token in _tokens_of(transaction)]
    named = [
        True if name is not None and name[-_TOKEN_TAIL : 1 - _TOKEN_TAIL] == "." else name
        for name in _names_of(transaction)
    ]
    content = (_content_of(transaction), named, event_time_ms, None if since is None else to_epoch_ms(since), present)
    return blake2b(_encode_content(content), digest_size=DIGEST_BYTES).digest()


def build_window_updates(
    transactions: Sequence[Transaction], amounts_base_minor: Sequence[int], times_ms: Sequence[int]
) -> list[WindowUpdate]:
    """What the store must know of each transaction; `times_ms` are their event times (ms since 1970 UTC)."""
    return [
        WindowUpdate(
            transaction.transaction_id,
            time_ms,
            amount,
            _entities_of(transaction),
            None if transaction.aliases is None else tuple(map(transaction.aliases.get, ENTITY_NAMES)),
            hash_content(transaction, time_ms),
        )
        for transaction, amount, time_ms in zip(transactions, amounts_base_minor, times_ms, strict=True)
    ]


def list_event_times_ms(transactions: Sequence[Transaction]) -> list[int]:
    """Event times in ms since 1970 UTC, rounded down."""
    return [to_epoch_ms(transaction.event_time) for transaction in transactions]


def compute_quantities(
    transactions: Sequence[Transaction],
    amounts_base_minor: Sequence[int],
    aggregates: Floats,
    *,
    base_currency: str,
    times_ms: Sequence[int] | None = None,
) -> Floats:
    """All features in float64, shape (n, F) in the order of the schema; NaN where something is missing.

    Args:
        transactions: the batch.
        amounts_base_minor: their amounts in minor units of the base currency.
        aggregates: shape (n, K), see `list_aggregate_columns`; NaN for an entity that the transaction does not name.
        base_currency: ISO 4217; sums and amounts leave in its major units.
        times_ms: `list_event_times_ms(transactions)` where the caller has it already.
    """
    times = np.array(list_event_times_ms(transactions) if times_ms is None else times_ms, dtype=np.int64)
    amounts = np.array(amounts_base_minor, dtype=np.float64)
    minor = 10.0 ** get_exponent(base_currency)
    plan = _plan()
    table = np.empty((len(transactions), len(get_feature_names())), dtype=np.float64)
    for column, values in zip(plan.static, _static(transactions, amounts / minor, times), strict=True):
        table[:, column] = values
    with np.errstate(divide="ignore", invalid="ignore"):
        table[:, plan.copied_to] = aggregates[:, plan.copied_from]
        table[:, plan.sums] /= minor
        table[:, plan.seconds] /= SECOND_MS
        table[:, plan.means] = table[:, plan.mean_sums] / table[:, plan.mean_counts]
        table[:, plan.ratios] = _ratios(amounts, aggregates[:, plan.history_sums], aggregates[:, plan.history_counts])
        table[:, plan.excess] /= 1_000.0
        frauds, seen = aggregates[:, plan.rate_frauds], aggregates[:, plan.rate_seen]
        table[:, plan.rates] = np.where(frauds > 0, frauds / np.maximum(seen, frauds), frauds)
        usual = _usual(amounts, aggregates[:, plan.usual_counts], aggregates[:, plan.usual_sums])
        table[:, plan.usual_ratios] = usual
    return table


def compute_features(
    transactions: Sequence[Transaction], amounts_base_minor: Sequence[int], aggregates: Floats, *, base_currency: str
) -> NDArray[np.float32]:
    """The vectors that the model reads and the feature log keeps: `compute_quantities` as float32, shape (n, F)."""
    return as_vectors(compute_quantities(transactions, amounts_base_minor, aggregates, base_currency=base_currency))


def as_vectors(table: Floats) -> NDArray[np.float32]:
    """`compute_quantities` in the precision of the model. From (n, F) float64 to (n, F) float32."""
    return table.astype(np.float32)


def _ratios(amounts: Floats, sums: Floats, counts: Floats) -> Floats:
    """Amount against the mean of the earlier 30 days; NaN without earlier transactions or where they summed to nothing."""
    earlier = sums - amounts[:, None]
    ratios: Floats = amounts[:, None] * (counts - 1.0) / earlier
    ratios[~((counts > 1) & (earlier > 0))] = np.nan
    return ratios


def _usual(amounts: Floats, counts: Floats, sums: Floats) -> Floats:
    """Amount against the usual mean; NaN where there is none yet."""
    ratios: Floats = amounts[:, None] * counts / sums
    ratios[~((counts >= USUAL_MIN) & (sums > 0))] = np.nan
    return ratios


def encode_entities(window_update: WindowUpdate) -> bytes:
    """The transaction's named entities as FeatureRecord.entities holds them; of a rotating token the one before it."""
    values = window_update.entities
    if window_update.aliases is not None:
        values = tuple(
            None if value is None else alias or value
            for value, alias in zip(values, window_update.aliases, strict=True)
        )
    mask = sum(1 << place for place, value in enumerate(values) if value is not None)
    return mask.to_bytes(2, "little") + b"".join([_hash_of(value) for value in values if value is not None])


@lru_cache(maxsize=65_536)
def _hash_of(value: str) -> bytes:
    return hash_counterpart(value.encode())


def _static(transactions: Sequence[Transaction], amounts: Floats, times_ms: NDArray[np.int64]) -> list[Floats]:
    """The columns that need no window, in the order of the schema."""
    items = _numbers([t.basket_items for t in transactions])
    minor = np.array([t.amount_minor for t in transactions], dtype=np.float64)
    discount = _numbers([t.discount_minor for t in transactions])
    before = minor + discount
    of_day_ms = times_ms % DAY_MS
    angle = of_day_ms * (2.0 * np.pi / DAY_MS)
    weekday = ((times_ms // DAY_MS + _EPOCH_WEEKDAY) % 7).astype(np.float64)
    billing = [t.country_billing for t in transactions]
    ip = [t.country_ip for t in transactions]
    card = [t.country_card for t in transactions]
    with np.errstate(divide="ignore", invalid="ignore"):
        return [
            amounts,
            np.where(before == 0, 0.0, discount / before),
            items,
            np.where(items > 0, amounts / items, np.nan),
            _numbers([t.session_s for t in transactions]),
            np.sin(angle),
            np.cos(angle),
            weekday,
            (weekday >= 5).astype(np.float64),
            (of_day_ms < NIGHT_ENDS_H * HOUR_MS).astype(np.float64),
            _ages_d([t.customer_since for t in transactions], times_ms),
            _differ(billing, [t.country_delivery for t in transactions]),
            _differ(billing, ip),
            _differ(billing, card),
            _differ(card, ip),
            _buckets([t.channel for t in transactions]),
            _buckets([t.payment_method for t in transactions]),
            _buckets([t.category for t in transactions]),
        ]


def _numbers(values: Sequence[float | None]) -> Floats:
    return np.array(values, dtype=np.float64)  # None becomes NaN


def _ages_d(since: Sequence[datetime | None], times_ms: NDArray[np.int64]) -> Floats:
    """Days; 0 where the account seems to be younger than the transaction."""
    opened = _numbers([None if moment is None else to_epoch_ms(moment) for moment in since])
    ages: Floats = np.maximum((times_ms - opened) / DAY_MS, 0.0)
    return ages


def _differ(left: Sequence[str | None], right: Sequence[str | None]) -> Floats:
    return _numbers([None if a is None or b is None else a != b for a, b in zip(left, right, strict=True)])


def _buckets(texts: Sequence[str | None]) -> Floats:
    return _numbers([None if text is None else zlib.crc32(text.encode()) % CATEGORY_BUCKETS for text in texts])


class _Plan(msgspec.Struct, frozen=True):
    """Which column of the schema comes from where; worked out once from the contract's names."""

    static: list[int]
    copied_to: Any
    copied_from: Any
    sums: Any
    seconds: Any
    means: Any
    mean_sums: Any
    mean_counts: Any
    ratios: Any
    history_sums: Any
    history_counts: Any
    excess: Any
    rates: Any
    rate_frauds: Any
    rate_seen: Any
    usual_ratios: Any
    usual_counts: Any
    usual_sums: Any


@cache
def _plan() -> _Plan:
    schema = {name: index for index, name in enumerate(get_feature_names())}
    stored = {name: index for index, name in enumerate(list_aggregate_columns())}
    source: dict[str, str] = {}
    sums, seconds = [], []
    for name in stored:
        if "_seen_" in name or name.endswith(("_usual_count", "_usual_sum")):
            continue  # only what is computed from them is a feature
        if name.endswith("_ms"):
            source[name.removesuffix("_ms")] = name
            seconds.append(schema[name.removesuffix("_ms")])
        else:
            source[name] = name
            if "_sum_" in name:
                sums.append(schema[name])
    spans = [(entity.name, window.name) for entity in ENTITIES for window in WINDOWS]
    longest = WINDOWS[-1].name
    ratios = [schema[f"{name}_amount_ratio"] for name in HISTORY_ENTITIES]
    static = [column for column in range(len(schema)) if column < min(ratios)]
    risks = [(entity, window.name) for entity in ENTITY_NAMES for window in RISK_WINDOWS]
    columns = np.array
    return _Plan(
        static=static,
        copied_to=columns([schema[name] for name in source]),
        copied_from=columns([stored[origin] for origin in source.values()]),
        sums=columns(sums),
        seconds=columns(seconds),
        means=columns([schema[f"{entity}_mean_{span}"] for entity, span in spans]),
        mean_sums=columns([schema[f"{entity}_sum_{span}"] for entity, span in spans]),
        mean_counts=columns([schema[f"{entity}_count_{span}"] for entity, span in spans]),
        ratios=columns(ratios),
        history_sums=columns([stored[f"{name}_sum_{longest}"] for name in HISTORY_ENTITIES]),
        history_counts=columns([stored[f"{name}_count_{longest}"] for name in HISTORY_ENTITIES]),
        excess=columns([schema[f"{name}_unusual_excess"] for name in HABIT_ENTITIES]),
        rates=columns([schema[f"{entity}_fraud_rate_{span}"] for entity, span in risks]),
        rate_frauds=columns([stored[f"{entity}_frauds_{span}"] for entity, span in risks]),
        rate_seen=columns([stored[f"{entity}_seen_{span}"] for entity, span in risks]),
        usual_ratios=columns([schema[f"{name}_usual_ratio"] for name in HABIT_ENTITIES]),
        usual_counts=columns([stored[f"{name}_usual_count"] for name in HABIT_ENTITIES]),
        usual_sums=columns([stored[f"{name}_usual_sum"] for name in HABIT_ENTITIES]),
    )
