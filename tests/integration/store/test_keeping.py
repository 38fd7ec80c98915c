"""What is kept, for how long, how large, and what is left after it was forgotten."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from contract.clock import ManualClock
from contract.settings import Settings, parse
from contract.windows import MINUTE_MS, hash_counterpart
from scoring.ports import ListHit, SnoozeHit, WindowUpdate
from scoring.store.keys import Keys
from scoring.store.lists import ListStore
from scoring.store.marks import SNOOZES_MAX
from scoring.store.redis_store import RedisStore
from scoring.store.snoozes import Snooze, SnoozeStore
from scoring.store.space import KeySpace
from support.cases import new_case
from support.reference import aggregates
from support.window_updates import column, differences, window_update
from tillguard.wiring.stores import make_case_store, make_window_store

pytestmark = pytest.mark.integration

WAIT_S = 10.0
DAY_S = 86_400
Open = Callable[..., RedisStore]


def apply(store: RedisStore, *window_updates: WindowUpdate) -> Any:
    return store.send(window_updates, "m", "r").wait(WAIT_S)


def test_records_and_states_expire_by_the_settings(open_store: Open, redis_client: Any, keys: Keys) -> None:
    apply(open_store(), window_update("t", card="x"))
    assert 3.9 * DAY_S < redis_client.ttl(keys.name_sight("t")) <= 4 * DAY_S
    assert 31 * DAY_S <= redis_client.ttl(keys.name_entity("card", "x")) <= 32 * DAY_S


def test_use_renews_a_states_lifetime_once_a_day(open_store: Open, redis_client: Any, keys: Keys) -> None:
    wall_s = [1_800_000_000.0]
    store = open_store(wall_s=lambda: wall_s[0])
    state = keys.name_entity("card", "x")
    apply(store, window_update("a", 0, card="x"), window_update("b", 1, card="x"))
    redis_client.expire(state, 100)
    apply(store, window_update("c", 2, card="x"))
    assert redis_client.ttl(state) <= 100
    wall_s[0] += 1.1 * DAY_S
    apply(store, window_update("d", 3, card="x"))
    assert redis_client.ttl(state) >= 31 * DAY_S
    redis_client.expire(state, 100)
    wall_s[0] -= 5 * DAY_S
    apply(store, window_update("e", 4, card="x"))
    assert redis_client.ttl(state) >= 31 * DAY_S


def test_use_of_a_new_token_renews_its_link(open_store: Open, redis_client: Any, keys: Keys) -> None:
    wall_s = [1_800_000_000.0]
    store = open_store(wall_s=lambda: wall_s[0])
    apply(store, window_update("a", card="old"), window_update("b", 1, card="new", aliases={"card": "old"}))
    link = keys.name_entity("card", "new")
    index = keys.name_aliases(keys.name_entity("card", "old"))
    for key in (link, index):
        redis_client.expire(key, 100)
    wall_s[0] += 2 * DAY_S
    applied = apply(store, window_update("c", 2, card="new"))
    assert applied.aggregates[0, column("card.count_1m")] == 3
    assert min(redis_client.ttl(link), redis_client.ttl(index)) >= 31 * DAY_S


def test_an_entity_seen_once_costs_well_under_400_bytes(open_store: Open, redis_client: Any, keys: Keys) -> None:
    apply(open_store(), window_update("t", device="d" * 30, card="c" * 30, customer="u" * 30))
    assert redis_client.memory_usage(keys.name_entity("device", "d" * 30)) < 200


def test_an_entity_never_grows_beyond_its_bound(open_store: Open, redis_client: Any, keys: Keys) -> None:
    store = open_store(max_events=100, max_counterparts=8)
    many = [window_update(f"t{i}", i * MINUTE_MS, card=f"c{i}", customer=f"u{i}", device="d") for i in range(2_000)]
    apply(store, *many)
    assert redis_client.strlen(keys.name_entity("device", "d")) < 10 * (100 + 32 + 25 + 1) + 2 * 8 * 14 + 58 * 13 + 140


def test_a_replays_key_space_is_apart_and_goes_wholly(
    open_store: Open, settings: Settings, redis_client: Any, keys: Keys
) -> None:
    live, replay = open_store(), open_store(namespace="replay:1")
    apply(live, window_update("t", card="x"))
    applied = apply(replay, window_update("t", card="x"))
    assert applied.first.tolist() == [True]
    assert applied.aggregates[0, column("card.count_1m")] == 1
    assert KeySpace(settings, "replay:1").drop() == 4
    left = set(redis_client.scan_iter(f"{{{keys.retailer}}}*"))
    assert left == {keys.name_sight("t"), keys.sequence, keys.coverage, keys.name_entity("card", "x")}
    with pytest.raises(ValueError, match="live"):
        KeySpace(settings).drop()


def test_marks_are_pinned_at_first_sight(open_store: Open, settings: Settings) -> None:
    store, marks = open_store(), ListStore(settings)
    marks.set("card", "x", "deny", by="ann", reason_code="stolen")
    marks.set("device", "d", "watch", by="ann", reason_code="emulator")
    assert apply(store, window_update("a", card="x", device="d")).marks == [
        (ListHit("card", "deny"), ListHit("device", "watch"))
    ]
    assert marks.remove("card", "x")
    assert not marks.remove("card", "x")
    assert apply(store, window_update("a", card="x", device="d")).marks == [
        (ListHit("card", "deny"), ListHit("device", "watch"))
    ]
    assert apply(store, window_update("b", card="x", device="d")).marks == [(ListHit("device", "watch"),)]


def snooze(rule: str, entity: str = "card", value: str = "x", **changes: Any) -> Snooze:
    fields: dict[str, Any] = {"until": datetime.now(UTC) + timedelta(days=30), "by": "ann", "comment": "known"}
    return Snooze(**({"rule": rule, "entity": entity, "value": value} | fields | changes))


def test_snoozes_are_pinned_at_first_sight_next_to_the_lists(open_store: Open, settings: Settings) -> None:
    store, snoozes, marks = open_store(), SnoozeStore(settings), ListStore(settings)
    snoozes.add(snooze("b-rule"))
    marks.set("card", "x", "watch", by="ann", reason_code="review")
    for one in (snooze("a"), snooze("a"), snooze("long-" + "r" * 59, "device", "d")):
        snoozes.add(one)
    pinned = (SnoozeHit("card", "b-rule"), SnoozeHit("card", "a"), SnoozeHit("device", "long-" + "r" * 59))
    applied = apply(store, window_update("t", card="x", device="d"))
    assert (applied.snoozes, applied.marks) == ([pinned], [(ListHit("card", "watch"),)])
    assert snoozes.remove("a", "card", "x")
    assert not snoozes.remove("a", "card", "x")
    assert apply(store, window_update("t", card="x", device="d")).snoozes == [pinned]
    later = apply(store, window_update("u", card="x"))
    assert (later.snoozes, later.marks) == ([(SnoozeHit("card", "b-rule"),)], [(ListHit("card", "watch"),)])
    assert marks.remove("card", "x")
    assert [one.rule for one in snoozes.list()] == ["b-rule", "long-" + "r" * 59]
    assert apply(store, window_update("v", card="x")).snoozes == [(SnoozeHit("card", "b-rule"),)]


def test_a_snooze_ends_at_its_time(open_store: Open, settings: Settings, redis_client: Any, keys: Keys) -> None:
    early = ManualClock(datetime.now(UTC) - timedelta(days=2))
    SnoozeStore(settings, clock=early).add(snooze("over", until=early.now() + timedelta(days=1)))
    snoozes = SnoozeStore(settings)
    snoozes.add(snooze("in-force", "device", "d"))
    assert apply(open_store(), window_update("t", card="x", device="d")).snoozes == [(SnoozeHit("device", "in-force"),)]
    assert [(one.rule, one.by, one.comment) for one in snoozes.list()] == [("in-force", "ann", "known")]
    assert len(redis_client.hgetall(keys.marks)) == 1


def test_snoozes_of_an_entity_are_bounded_and_the_longest_leave_room_for_every_list(
    open_store: Open, settings: Settings
) -> None:
    snoozes, marks = SnoozeStore(settings), ListStore(settings)
    values: dict[str, Any] = {"customer": "c", "card": "x", "device": "d", "terminal": "k"}
    for entity, value in values.items():
        marks.set(entity, value, "deny", by="ann", reason_code="x")
        for number in range(SNOOZES_MAX):
            snoozes.add(snooze(f"r{number}-" + "r" * 61, entity, value))
    snoozes.add(snooze("r0-" + "r" * 61))  # again: no further one
    with pytest.raises(ValueError, match="snoozed for this card already"):
        snoozes.add(snooze("one-more"))
    applied = apply(open_store(), window_update("t", **values))
    assert len(applied.marks[0]) == 4
    assert len(applied.snoozes[0]) == 7  # as many of 64 characters as a record has room for
    assert not np.isnan(applied.aggregates[0, column("card.count_1m")])


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"rule": "No Rule"}, "lower-case"), ({"rule": "r{"}, "lower-case"), ({"entity": "phone"}, "no entity"),
        ({"until": datetime.now(UTC) + timedelta(days=181)}, "180 days"), ({"until": datetime.now(UTC)}, "180 days"),
        ({"comment": " "}, "comment"), ({"comment": "x" * 501}, "comment"),
    ],
)  # fmt: skip
def test_a_snooze_without_end_or_reason_is_refused(settings: Settings, changes: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        SnoozeStore(settings).add(snooze(**{"rule": "r"} | changes))


def test_a_mark_ends_at_its_time(open_store: Open, settings: Settings) -> None:
    marks = ListStore(settings)
    now = datetime.now(UTC)
    marks.set("card", "x", "allow", expires_at=now - timedelta(seconds=1), by="ann", reason_code="vip")
    marks.set("card", "y", "allow", expires_at=now + timedelta(hours=1), by="ann", reason_code="vip")
    applied = apply(open_store(), window_update("a", card="x"), window_update("b", card="y"))
    assert applied.marks == [(), (ListHit("card", "allow"),)]
    assert [(entry.value, entry.by, entry.reason_code) for entry in marks.list()] == [("y", "ann", "vip")]


def test_a_mark_is_replaced_by_the_next_one_and_unknown_ones_are_refused(settings: Settings) -> None:
    marks = ListStore(settings)
    marks.set("ip", "i", "deny", by="ann", reason_code="proxy")
    marks.set("ip", "i", "watch", by="bob", reason_code="review")
    assert [(entry.mark, entry.by, entry.expires_at) for entry in marks.list()] == [("watch", "bob", None)]
    with pytest.raises(ValueError, match="no entity"):
        marks.set("phone", "i", "deny", by="ann", reason_code="x")
    with pytest.raises(ValueError, match="a mark is one of"):
        marks.set("ip", "i", "ban", by="ann", reason_code="x")  # type: ignore[arg-type]


@pytest.mark.parametrize("marked_first", [True, False])
def test_a_mark_holds_for_every_token_of_its_entity(open_store: Open, settings: Settings, marked_first: bool) -> None:
    store, marks = open_store(), ListStore(settings)
    if marked_first:
        marks.set("card", "new", "deny", by="ann", reason_code="stolen")
    apply(store, window_update("a", card="old"), window_update("b", card="new", aliases={"card": "old"}))
    if not marked_first:
        marks.set("card", "new", "deny", by="ann", reason_code="stolen")
        assert apply(store, window_update("d", card="old")).marks == [(ListHit("card", "deny"),)]
    assert apply(store, window_update("c", card="new")).marks == [(ListHit("card", "deny"),)]


def test_erasing_an_entity_leaves_nothing_that_names_it(
    open_store: Open, settings: Settings, redis_client: Any, keys: Keys
) -> None:
    store = open_store()
    ListStore(settings).set("customer", "new-u", "watch", by="ann", reason_code="x")
    SnoozeStore(settings).add(snooze("r", "customer", "new-u"))
    apply(
        store,
        window_update("a", 0, customer="old-u", card="c1", device="d1"),
        window_update("b", 1, customer="new-u", card="c1", device="d1", aliases={"customer": "old-u"}),
        window_update("c", 2, customer="new-u", device="d2", terminal="k"),
        window_update("d", 3, customer="other", card="c2", device="d1"),
    )
    assert KeySpace(settings).erase("customer", "new-u") > 0
    names = [name for name in redis_client.scan_iter(f"{{{keys.retailer}}}*") if b"-u" in name]
    assert names == []
    assert redis_client.hgetall(keys.marks) == {}
    hashes = [hash_counterpart(b"old-u"), hash_counterpart(b"new-u")]
    for entity, value in (("device", "d1"), ("device", "d2"), ("terminal", "k"), ("card", "c1")):
        state = redis_client.get(keys.name_entity(entity, value))
        assert state is not None
        assert not any(hashed in state for hashed in hashes)
    applied = apply(store, window_update("e", 4, customer="other", card="c2", device="d1"))
    assert applied.aggregates[0, column("device.distinct_customer_1h")] == 1
    assert applied.aggregates[0, column("device.distinct_card_1h")] == 2
    assert applied.aggregates[0, column("device.count_1m")] == 4
    assert KeySpace(settings).erase("customer", "new-u") == 0


def test_striking_a_counterpart_leaves_the_rest_exact(open_store: Open, settings: Settings) -> None:
    """What the others' lists say afterwards is what they would say had the erased one never been named."""
    store = open_store()
    hour = 60 * MINUTE_MS
    events = [(0, "a"), (hour, "b"), (26 * hour, "c"), (26 * hour, "gone"), (27 * hour, "a"), (27 * hour, "d")]
    for erased in ("gone", "b", "a", "d"):
        given = [
            window_update(f"{erased}{i}", t, device=f"dev-{erased}", card=card) for i, (t, card) in enumerate(events)
        ]
        apply(store, *given)
        KeySpace(settings).erase("card", erased)
        final = window_update(f"{erased}-last", 27 * hour + 5, device=f"dev-{erased}", card="z")
        without = [one if one.entities[1] != erased else one._replace(entities=_unnamed(one)) for one in given]
        expected = aggregates(enumerate([*without, final], 1))[-1:]
        applied = apply(store, final)
        wrong = [text for text in differences(applied.aggregates, expected) if "device." in text]
        assert wrong == []


def _unnamed(one: WindowUpdate) -> tuple[str | None, ...]:
    return tuple(None if i == 1 else value for i, value in enumerate(one.entities))


def test_cases_live_as_long_as_the_settings_say_and_vanished_ones_do_not_expire(
    settings: Settings, redis_client: Any, keys: Keys
) -> None:
    cases = make_case_store(settings)
    now = datetime.now(UTC)
    cases.open([new_case("a", "v", now), new_case("b", "v", now)])
    assert 29 * DAY_S < redis_client.ttl(keys.name_case("a")) <= 30 * DAY_S
    redis_client.delete(keys.name_case("a"))
    assert [case.transaction_id for case in cases.list_expired(now + timedelta(seconds=1), 1)] == ["b"]
    assert redis_client.zrange(keys.holds, 0, -1) == [b"b"]


def test_bounds_that_the_script_could_not_keep_are_refused(server: dict[str, Any]) -> None:
    settings = parse({"retailer": "nobody", "redis": server}, where="test")
    for events in (1, 1 << 16):
        with pytest.raises(ValueError, match="max_events"):
            make_window_store(settings, max_events=events)
    for counterparts in (0, 255):
        with pytest.raises(ValueError, match="max_events"):
            make_window_store(settings, max_counterparts=counterparts)
