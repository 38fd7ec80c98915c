import msgspec

from contract.events import Transaction
from contract.risk import (
    EXCESS_MAX,
    MAX_UNUSUAL,
    PLAIN_RATIO,
    RISK_WINDOWS,
    TILE_MS,
    TILES_PER_DAY,
    UNUSUAL_RATIO,
    UNUSUAL_WINDOWS,
    USUAL_MIN,
)
from contract.windows import (
    DAY_MS,
    DISTINCT_HORIZON_MS,
    DISTINCT_WINDOWS,
    ENTITIES,
    ENTITY_NAMES,
    EXACT_HORIZON_MS,
    LONGEST_WINDOW_MS,
    MAX_COUNTERPARTS,
    MAX_EVENTS,
    TILED_WINDOWS,
    WINDOWS,
    list_aggregate_names,
)


def test_windows_are_exact_up_to_a_day_and_tiled_above() -> None:
    assert EXACT_HORIZON_MS == DAY_MS
    assert [(window.name, window.tiles) for window in TILED_WINDOWS] == [("7d", 28), ("30d", 30)]
    assert all(window.tiles == 0 for window in WINDOWS if not window.tile_ms)
    assert (LONGEST_WINDOW_MS, DISTINCT_HORIZON_MS) == (30 * DAY_MS, 7 * DAY_MS)


def test_lengths_and_bounds_are_those_that_models_in_service_have_learned_with() -> None:
    days = [3_600_000 * 24 * count for count in (1, 7, 30)]
    assert [window.length_ms for window in WINDOWS] == [60_000, 600_000, 3_600_000, *days]
    assert [window.length_ms for window in DISTINCT_WINDOWS] == [3_600_000, *days[:2]]
    assert (MAX_EVENTS, MAX_COUNTERPARTS) == (1_024, 64)
    assert [window.length_ms // 3_600_000 for window in RISK_WINDOWS] == [24, 168, 720]
    assert [window.length_ms // 3_600_000 for window in UNUSUAL_WINDOWS] == [24, 72, 168, 336]
    assert (TILE_MS, TILES_PER_DAY) == (21_600_000, 4)
    assert (USUAL_MIN, UNUSUAL_RATIO, PLAIN_RATIO, EXCESS_MAX, MAX_UNUSUAL) == (3, 2.5, 2.0, 20_000, 32)


def test_a_window_is_a_whole_number_of_its_tiles() -> None:
    assert all(window.tiles * window.tile_ms == window.length_ms for window in TILED_WINDOWS)


def test_entities_and_counterparts_are_fields_of_the_transaction() -> None:
    fields = {field.name for field in msgspec.structs.fields(Transaction)}
    for entity in ENTITIES:
        assert {entity.name, *entity.counterparts} <= fields
    assert tuple(entity.name for entity in ENTITIES) == ENTITY_NAMES


def test_aggregates_of_an_entity_come_in_one_fixed_order() -> None:
    ip = ENTITIES[ENTITY_NAMES.index("ip")]
    assert list_aggregate_names(ip) == (
        "count_1m", "sum_1m", "count_10m", "sum_10m", "count_1h", "sum_1h", "count_1d", "sum_1d", "count_7d", "sum_7d",
        "count_30d", "sum_30d", "since_last_ms", "distinct_card_1h", "distinct_card_1d", "distinct_card_7d", "since_card_ms",
        "distinct_customer_1h", "distinct_customer_1d", "distinct_customer_7d", "since_customer_ms", "saturated",
    )  # fmt: skip


def test_no_aggregate_of_an_entity_has_two_places() -> None:
    for entity in ENTITIES:
        assert len(set(list_aggregate_names(entity))) == len(list_aggregate_names(entity))
