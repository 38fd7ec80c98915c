"""What the engine relies on, over memory and Redis."""

import numpy as np

from scoring.ports import WindowStore
from support.reference import aggregates
from support.window_updates import column, differences, window_update

WAIT_S = 10.0


def test_a_batch_is_answered_in_its_order(store: WindowStore) -> None:
    given = [window_update(f"t{i}", i, i, card="x", device=f"d{i % 2}") for i in range(5)]
    applied = store.send(given, "m1", "r1").wait(WAIT_S)
    assert applied.applied_seq.tolist() == [1, 2, 3, 4, 5]
    assert applied.first.all()
    assert not applied.conflict.any()
    assert applied.model_versions == ["m1"] * 5
    assert applied.rules_versions == ["r1"] * 5
    assert applied.marks == [()] * 5
    assert differences(applied.aggregates, aggregates(enumerate(given, 1))) == []


def test_a_redelivered_transaction_gets_what_was_pinned_and_changes_nothing(store: WindowStore) -> None:
    before = store.send([window_update("a", 0, card="x")], "m1", "r1").wait(WAIT_S)
    store.send([window_update("b", 1, card="x")], "m1", "r1").wait(WAIT_S)
    again = store.send([window_update("a", 0, card="x")], "m2", "r2").wait(WAIT_S)
    assert again.first.tolist() == [False]
    assert again.conflict.tolist() == [False]
    assert again.applied_seq.tolist() == before.applied_seq.tolist()
    assert (again.model_versions, again.rules_versions) == (["m1"], ["r1"])
    np.testing.assert_array_equal(again.aggregates, before.aggregates)
    third = store.send([window_update("c", 2, card="x")], "m2", "r2").wait(WAIT_S)
    assert third.aggregates[0, column("card.count_1m")] == 3


def test_rows_of_one_batch_may_be_pinned_to_another_model_and_stay_so(store: WindowStore) -> None:
    given = [window_update(f"t{i}", i, card="x") for i in range(4)]
    applied = store.send(given, "m1", "r1", {1: "canary-2", 3: "c"}).wait(WAIT_S)
    assert applied.model_versions == ["m1", "canary-2", "m1", "c"]
    assert applied.rules_versions == ["r1"] * 4
    assert differences(applied.aggregates, aggregates(enumerate(given, 1))) == []
    again = store.send(given, "m3", "r3", {0: "canary-2"}).wait(WAIT_S)
    assert again.model_versions == ["m1", "canary-2", "m1", "c"]
    np.testing.assert_array_equal(again.aggregates, applied.aggregates)


def test_a_transaction_twice_in_one_batch_is_applied_once(store: WindowStore) -> None:
    applied = store.send([window_update("a", card="x"), window_update("a", card="x")], "m1", "r1").wait(WAIT_S)
    assert applied.first.tolist() == [True, False]
    assert applied.applied_seq.tolist() == [1, 1]
    assert applied.aggregates[:, column("card.count_1m")].tolist() == [1, 1]


def test_another_content_under_a_known_id_is_a_conflict_and_is_not_applied(store: WindowStore) -> None:
    first = store.send([window_update("a", amount=100, card="x")], "m1", "r1").wait(WAIT_S)
    other = store.send([window_update("a", amount=999, card="x", digest=b"digest-2")], "m2", "r2").wait(WAIT_S)
    assert other.conflict.tolist() == [True]
    assert other.first.tolist() == [False]
    np.testing.assert_array_equal(other.aggregates, first.aggregates)
    after = store.send([window_update("b", 1, 1, card="x")], "m2", "r2").wait(WAIT_S)
    assert after.aggregates[0, column("card.sum_1m")] == 101


def test_a_loaded_history_fills_windows_and_whoever_judges_it_first_pins_versions_and_content(
    store: WindowStore,
) -> None:
    loaded = store.send([window_update("a", 0, card="x"), window_update("b", 1, card="x")], "", "").wait(WAIT_S)
    assert loaded.first.all()
    assert loaded.model_versions == ["", ""]
    again = store.send([window_update("a", 0, card="x")], "", "").wait(WAIT_S)
    assert (again.first.tolist(), again.model_versions) == ([False], [""])
    judged = store.send([window_update("a", 0, card="x", digest=b"digest-2")], "m1", "r1").wait(WAIT_S)
    assert (judged.first.tolist(), judged.conflict.tolist()) == ([False], [False])
    assert (judged.model_versions, judged.rules_versions) == (["m1"], ["r1"])
    assert judged.applied_seq.tolist() == loaded.applied_seq.tolist()[:1]
    np.testing.assert_array_equal(judged.aggregates, loaded.aggregates[:1])
    later = store.send([window_update("a", 0, card="x", digest=b"digest-2")], "m2", "r2").wait(WAIT_S)
    assert (later.model_versions, later.conflict.tolist()) == (["m1"], [False])
    other = store.send([window_update("a", 0, card="x")], "m2", "r2").wait(WAIT_S)
    assert other.conflict.tolist() == [True]
    live = store.send([window_update("c", 2, card="x")], "m2", "r2").wait(WAIT_S)
    assert live.aggregates[0, column("card.count_1m")] == 3


def test_several_batches_may_be_open_at_once(store: WindowStore) -> None:
    tickets = [store.send([window_update(f"t{i}-{j}", card="x") for j in range(3)], "m1", "r1") for i in range(4)]
    answers = [ticket.wait(WAIT_S) for ticket in tickets]
    assert np.concatenate([answer.applied_seq for answer in answers]).tolist() == list(range(1, 13))


def test_a_transaction_without_any_entity_has_no_numbers(store: WindowStore) -> None:
    applied = store.send([window_update("a")], "m1", "r1").wait(WAIT_S)
    assert applied.first.tolist() == [True]
    assert np.isnan(applied.aggregates).all()


def test_strange_values_are_values_like_any_other(store: WindowStore) -> None:
    strange = ["{tag}", "a/b", "*", "\u00e4\U0001f4b3" * 60, "\u00e4\U0001f4b3" * 60 + "x", " ", "%d%s"]
    given = [window_update(f"{value}-{i}", i, card=value, device=value) for i in range(2) for value in strange]
    applied = store.send(given, "m1", "r1").wait(WAIT_S)
    assert differences(applied.aggregates, aggregates(enumerate(given, 1))) == []


def test_sums_beyond_32_bits_are_exact(store: WindowStore) -> None:
    given = [window_update(f"t{i}", i, 10**12 - i, card="x", device="d") for i in range(4)]
    applied = store.send(given, "m1", "r1").wait(WAIT_S)
    assert differences(applied.aggregates, aggregates(enumerate(given, 1))) == []
    again = store.send(given, "m1", "r1").wait(WAIT_S)
    np.testing.assert_array_equal(again.aggregates, applied.aggregates)
