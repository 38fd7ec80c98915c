"""The stores of a retailer on Redis, from its settings."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from contract.risk import count_horizon_tiles
from contract.settings import Settings
from contract.windows import MAX_COUNTERPARTS, MAX_EVENTS
from scoring.decision.breaker import Limits
from scoring.store.cases import RedisCases
from scoring.store.client import RedisClient
from scoring.store.keys import LIVE, Keys
from scoring.store.redis_store import RedisStore
from scoring.store.rules import RedisRules
from scoring.store.window_updates import Bounds

DAY_S = 86_400


def make_window_store(
    settings: Settings,
    namespace: str = LIVE,
    *,
    max_events: int = MAX_EVENTS,
    max_counterparts: int = MAX_COUNTERPARTS,
    **options: Any,
) -> RedisStore:
    """A window store for one thread; the bounds are arguments so that tests can reach them, `options` are RedisStore's."""
    delay_days = settings.trainer.label_delay_days
    bounds = Bounds(
        idle_s=int(settings.retention.entity_idle_days * DAY_S),
        sight_s=int(settings.retention.first_sight_days * DAY_S),
        max_events=max_events,
        max_counterparts=max_counterparts,
        label_delay_s=int(delay_days * DAY_S),
        horizon_tiles=count_horizon_tiles(delay_days),
    )
    return RedisStore(settings.redis, Keys(settings.retailer, namespace), bounds, **options)


def make_case_store(
    settings: Settings, client: RedisClient | None = None, *, now_ms: Callable[[], int] | None = None
) -> RedisCases:
    """A case store, with a shared client or one of its own."""
    return RedisCases(
        client or RedisClient(settings.redis),
        Keys(settings.retailer),
        limits=Limits.from_settings(settings.scoring.breaker),
        kept=timedelta(days=settings.retention.case_days),
        now_ms=now_ms,
    )


def make_rules_archive(settings: Settings, client: RedisClient | None = None) -> RedisRules:
    """An archive of rules, with a shared client or one of its own."""
    return RedisRules(client or RedisClient(settings.redis), Keys(settings.retailer))
