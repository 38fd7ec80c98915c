"""What is known of an entity beyond its windows: frauds behind the label delay, and amounts unlike its usual ones (schema v2).

The Redis script, the replay and the brute-force reference share these words; terms are those of contract/windows.py. "The
entity" is the canonical one of its event e. T(t) = floor(t / 6 h), aligned to 1970-01-01 UTC; D(t) the same with 1 d.

*Outcomes.* A transaction has at most one outcome: genuine (also while nothing is known), fraud, or plain fraud, which is a
fraud that its amount does not explain: its customer had a usual mean and paid at most PLAIN_RATIO times it, or had none, and
had no unusual payment in the 14 days before. An outcome that is applied replaces the one before it; applying it again changes
nothing. It acts on every entity that the transaction named.

*Risk.* With its first known fraud an entity's risk begins: tiles of 6 h, each with the known frauds and plain frauds of that tile
(by the transaction's own event_time) and the number of the entity's transactions. Counting begins with the first event e0 that
is applied after that: the entity's retained tiles of 6 h (contract/windows.py, before e0) are taken over, and of its retained
tiles of 1 d what these do not cover, each at the newest tile of its day that holds a fraud, or else the last. e0 and every event applied after it adds 1 to T(t), after its own
numbers were read. N is the greatest T of any event counted so; tiles at or below N - HORIZON_TILES are forgotten, and nothing is
added to them.

For e let B = T(t_e - label delay). `frauds_W`, `plain_frauds_W` and `seen_W` (transactions) are summed over the tiles with B - n < T <= B,
n being the tiles of W. `frauds_early` are those with B < T <= T(t_e): labels that came before the delay. `since_fraud` and
`since_plain_fraud` are t_e minus the beginning of the newest tile <= T(t_e) that holds one, `since_first_plain_fraud` the same for the
oldest tile with one of those above B - n of the longest W; missing where there is none. `genuine_since_fraud` and
`genuine_since_plain_fraud` are the transactions of the tiles after that newest one up to B, less the frauds in them (never below 0);
missing likewise. An entity without risk has zeros, and nothing to be "since".

*Unusual amounts* (customer, card). The entity keeps those of its events that were unusual, with D(t) > D(clock) - 30, at most the
MAX_UNUSUAL with the greatest (t, applied_seq). For e, `usual_count` and `usual_sum` are count and sum of its tiled 30 d window without e and
without the kept unusual events in that window; with usual_count >= USUAL_MIN and usual_sum > 0 the usual mean is usual_sum / usual_count, and e is
unusual where amount x usual_count > UNUSUAL_RATIO x usual_sum. `unusual_W` counts kept earlier events with t_e - W < t <= t_e,
`unusual_excess` sums their ratios (amount over usual mean then, in thousandths, at most EXCESS_MAX each) over 14 d, `since_unusual` is
t_e minus the greatest such t over 14 d, missing where there is none.
"""

from typing import Annotated

from msgspec import Meta, Struct

from contract.events import Identifier, Moment, RetailerName
from contract.windows import DAY_MS, HOUR_MS, Entity, Window

TILE_MS = 6 * HOUR_MS
TILES_PER_DAY = DAY_MS // TILE_MS
RISK_WINDOWS = tuple(Window(f"{days}d", days * DAY_MS, TILE_MS) for days in (1, 7, 30))
UNUSUAL_WINDOWS = tuple(Window(f"{days}d", days * DAY_MS) for days in (1, 3, 7, 14))
HABIT_ENTITIES = ("customer", "card")
"""Whose amounts are compared with their usual ones."""
USUAL_MIN = 3
UNUSUAL_RATIO = 2.5
PLAIN_RATIO = 2.0
EXCESS_MAX = 20_000
MAX_UNUSUAL = 32
LABEL_DELAY_DAYS_MAX = 90.0
"""Bounds the tiles of an entity's risk: (30 + 90) x 4, of 12 bytes."""

RISK_NAMES = (
    *(f"{kind}_{window.name}" for window in RISK_WINDOWS for kind in ("frauds", "plain_frauds", "seen")),
    "frauds_early",
    "since_fraud_ms",
    "since_plain_fraud_ms",
    "since_first_plain_fraud_ms",
    "genuine_since_fraud",
    "genuine_since_plain_fraud",
)
HABIT_NAMES = (
    "usual_count",
    "usual_sum",
    *(f"unusual_{window.name}" for window in UNUSUAL_WINDOWS),
    "unusual_excess",
    "since_unusual_ms",
)


def list_side_names(entity: Entity) -> tuple[str, ...]:
    """What the store returns for one entity of one event beyond `list_aggregate_names`, in this order; missing is NaN."""
    return (*RISK_NAMES, *HABIT_NAMES) if entity.name in HABIT_ENTITIES else RISK_NAMES


def count_horizon_tiles(label_delay_days: float) -> int:
    """How many tiles of 6 h an entity's risk spans: the longest window behind the delay, and a day."""
    return RISK_WINDOWS[-1].tiles + TILES_PER_DAY * (1 + -int(-label_delay_days // 1))


class KnownOutcome(Struct, frozen=True, kw_only=True):
    """What a transaction turned out to be, for the entities that it named. Topic `<retailer>.outcomes.v1`, key = transaction_id."""

    transaction_id: Identifier
    retailer: RetailerName
    event_time: Moment
    entities: Annotated[bytes, Meta(min_length=2, max_length=2 + 8 * 16)]
    """As FeatureRecord.entities."""
    fraud: bool
    plain: bool
    """A fraud that its amount does not explain; false where `fraud` is."""
    label_time: Moment
