"""Entities and sliding windows: the definition that the Redis script, the replay and the brute-force reference share.

Let every event of a retailer carry `applied_seq` (the order in which the store applied it), `t` (event_time in ms) and,
for each entity it names, that entity's value. For an event e and one of its entities, "earlier" means applied before e.

*Clock.* The entity's clock c is the greatest t among the earlier events of that entity and e itself.

*Exact windows* (1 min, 10 min, 1 h, 1 d). Retained are the entity's earlier events with t > c - 1 d, and of those the
MAX_EVENTS - 1 with the greatest (t, applied_seq); e itself is always retained. The window of length W holds the retained
events with t_e - W < t <= t_e. So e counts itself, an earlier event at the same millisecond counts, and a late event sees
its own past only, not what happened after it.

*Tiled windows* (7 d in tiles of 6 h, 30 d in tiles of 1 d). tile(t) = floor(t / tile length), aligned to 1970-01-01 UTC.
The window of n tiles holds e itself and the earlier events with tile(t_e) - n < tile(t) <= tile(t_e), of those whose
tile is retained: tile(t) > tile(c) - n. Bounded by n tiles, hence without a bound on events.

*Count and sum.* Over the events of a window; sums are integers in minor units of the retailer's base currency, so
adding and removing is exact. The mean is sum / count.

*Since last.* For an event that is not late (t_e >= the clock before e): t_e minus the clock before e. For a late one:
t_e minus the greatest t <= t_e among the retained earlier events. Missing where there is none.

*Distinct counterparts.* For each pair (entity, counterpart) the store keeps, per counterpart value, the greatest t of any
earlier event (or e) that joined the two; of those at most MAX_COUNTERPARTS with the greatest (t, applied_seq), and only
with t > c - 7 d. distinct(W) counts kept values, after e was added, whose greatest t is > t_e - W. An event without
the counterpart adds none. *Counterpart since*: t_e minus the greatest t kept for this counterpart before e (kept by the
clock of e), missing where it was not kept or lies after t_e.

*Tokens.* While a tokenisation key rotates, an event may carry the previous token of an entity as its alias. A token that
has no windows and is no link yet then becomes a link to the alias's canonical token, for as long as it is used. The canonical
token stands for the value wherever this page speaks of one, as entity and as counterpart. A token with windows of its own is
never linked.

*Saturation.* `saturated` is 1 when, at e, MAX_EVENTS or MAX_COUNTERPARTS pushed out something that the clock alone would
have retained; counts are then lower bounds. Else 0.
"""

import hashlib
from dataclasses import dataclass

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

MAX_EVENTS = 1_024
"""Events an entity holds for the exact windows (16 kB at 16 bytes an event)."""
MAX_COUNTERPARTS = 64
"""Counterparts an entity remembers per pair."""


@dataclass(frozen=True, slots=True)
class Window:
    """A window of `length_ms`; `tile_ms` is 0 for an exact one."""

    name: str
    length_ms: int
    tile_ms: int = 0

    @property
    def tiles(self) -> int:
        """How many tiles the window spans; 0 for an exact window."""
        return self.length_ms // self.tile_ms if self.tile_ms else 0


WINDOWS = (
    Window("1m", MINUTE_MS),
    Window("10m", 10 * MINUTE_MS),
    Window("1h", HOUR_MS),
    Window("1d", DAY_MS),
    Window("7d", 7 * DAY_MS, tile_ms=6 * HOUR_MS),
    Window("30d", 30 * DAY_MS, tile_ms=DAY_MS),
)
EXACT_WINDOWS = tuple(window for window in WINDOWS if not window.tile_ms)
TILED_WINDOWS = tuple(window for window in WINDOWS if window.tile_ms)
EXACT_HORIZON_MS = max(window.length_ms for window in EXACT_WINDOWS)
LONGEST_WINDOW_MS = max(window.length_ms for window in WINDOWS)
DISTINCT_WINDOWS = (Window("1h", HOUR_MS), Window("1d", DAY_MS), Window("7d", 7 * DAY_MS))
DISTINCT_HORIZON_MS = max(window.length_ms for window in DISTINCT_WINDOWS)


@dataclass(frozen=True, slots=True)
class Entity:
    """A thing that transactions share. `name` is the Transaction's field; `counterparts` are fields counted as distinct."""

    name: str
    counterparts: tuple[str, ...]
    text: str
    """How a reason calls it."""


ENTITIES = (
    Entity("customer", ("card", "device"), "this customer"),
    Entity("card", ("device",), "this card"),
    Entity("device", ("card", "customer"), "this device"),
    Entity("ip", ("card", "customer"), "this network address"),
    Entity("email", ("card",), "this e-mail address"),
    Entity("address", ("customer",), "this delivery address"),
    Entity("coupon", ("customer",), "this coupon"),
    Entity("terminal", ("customer",), "this till or store"),
)
ENTITY_NAMES = tuple(entity.name for entity in ENTITIES)


def list_aggregate_names(entity: Entity) -> tuple[str, ...]:
    """What the store returns for one entity of one event, in this order; a missing number is NaN, sums are in minor units."""
    names = [f"{kind}_{window.name}" for window in WINDOWS for kind in ("count", "sum")]
    names.append("since_last_ms")
    for counterpart in entity.counterparts:
        names.extend(f"distinct_{counterpart}_{window.name}" for window in DISTINCT_WINDOWS)
        names.append(f"since_{counterpart}_ms")
    names.append("saturated")
    return tuple(names)


def hash_counterpart(value: bytes) -> bytes:
    """8 bytes that stand for a value in others' lists (BLAKE2b, so that a chosen value cannot collide with another)."""
    return hashlib.blake2b(value, digest_size=8).digest()
