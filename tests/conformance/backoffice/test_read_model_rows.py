"""What records do to the rows: the same on both databases, in any order, however often a record comes."""

import random
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backoffice.projection.gathering import gather
from backoffice.projection.read_model import SqlReadModel
from backoffice.projection.record_reader import TopicRecord
from backoffice.projection.store import ReadModelStore
from contract.clock import ManualClock, to_epoch_ms
from contract.errors import FencedError
from contract.topics import DEAD_LETTERS, LABELS, VERDICTS
from support.read_model import (
    NOON,
    RETAILER,
    Feeder,
    dump,
    erasure,
    make_alarm,
    make_label,
    make_letter,
    make_resolution,
    make_transaction,
    make_verdict,
    record,
    renamed,
)

NAMES = count()


def read_model(store: ReadModelStore) -> SqlReadModel:
    return SqlReadModel(store, ManualClock(NOON))


ONE_OF_EACH = (
    record(make_transaction()),
    record(make_verdict()),
    record(make_label()),
    record(make_resolution()),
    record(make_alarm()),
    record(make_letter()),
)

transaction_ids = st.sampled_from(["t-1", "t-2", "t-3"])
hours = st.integers(-3, 3).map(lambda each: timedelta(hours=each))
messages = st.one_of(
    st.builds(
        lambda name, later, device: make_transaction(
            name, ingest_time=NOON + later, event_time=NOON + later, device=device
        ),
        transaction_ids,
        hours,
        st.sampled_from([None, "d-1", "d-2"]),
    ),
    st.builds(
        lambda name, revision, decision, later, outcome: make_verdict(
            name, revision=revision, decision=decision, scored_at=NOON + later, outcome=outcome, degraded=revision == 0
        ),
        transaction_ids,
        st.integers(0, 3),
        st.sampled_from(["allow", "flag", "hold", "block"]),
        hours,
        st.sampled_from([None, "approved", "expired"]),
    ),
    st.builds(
        lambda name, fraud, later: make_label(name, fraud=fraud, label_time=NOON + later),
        transaction_ids,
        st.booleans(),
        hours,
    ),
    st.builds(
        lambda name, number, later: make_resolution(name, resolution_id=f"r-{number}", resolved_at=NOON + later),
        transaction_ids,
        st.integers(1, 2),
        hours,
    ),
    st.builds(lambda later: make_alarm(raised_at=NOON + later), hours),
)


@st.composite
def told(draw: st.DrawFn) -> tuple[TopicRecord, ...]:
    """Records with an offset of their own each, erasures among them."""
    several = draw(st.lists(messages, min_size=1, max_size=12))
    records = [record(each, offset=at) for at, each in enumerate(several)]
    erased = draw(st.lists(st.tuples(transaction_ids, st.sampled_from([VERDICTS.kind, LABELS.kind])), max_size=1))
    return (*records, *(erasure(name, kind, offset=50 + at) for at, (name, kind) in enumerate(erased)))


@given(records=told(), chance=st.randoms(use_true_random=False))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_order_and_any_repetition_of_records_gives_the_same_rows(
    store: ReadModelStore, records: tuple[TopicRecord, ...], chance: random.Random
) -> None:
    plain, mixed = f"shop-{next(NAMES)}", f"shop-{next(NAMES)}"
    Feeder(store, plain).feed(*renamed(records, plain))
    shuffled = [*records, *chance.choices(records, k=4)]
    chance.shuffle(shuffled)
    feeder = Feeder(store, mixed)
    while shuffled:
        cut = chance.randint(1, len(shuffled))
        feeder.feed(*renamed(shuffled[:cut], mixed))
        del shuffled[:cut]
    as_text = repr(dump(store, mixed)).replace(mixed, plain)
    assert as_text == repr(dump(store, plain))


def test_a_verdict_may_come_before_its_transaction_and_a_label_before_both(store: ReadModelStore) -> None:
    feeder = Feeder(store)
    for each in (make_label(), make_resolution(), make_verdict(), make_transaction()):
        feeder.feed(record(each))
    known = read_model(store).find_transaction(RETAILER, "t-1")
    assert known is not None
    assert known.line.transaction == make_transaction()
    assert known.line.verdict == make_verdict()
    assert known.line.labels == (make_label(),)
    assert known.resolutions == (make_resolution(),)
    assert known.line.case == "resolved"


def test_an_erasure_takes_everything_of_its_transaction_and_nothing_of_another(store: ReadModelStore) -> None:
    feeder = Feeder(store)
    other = (make_transaction("t-2"), make_verdict("t-2"))
    feeder.feed(*(record(each) for each in other))
    before = dump(store, without=["erasures"])
    feeder.feed(*(record(each) for each in (make_transaction(), make_verdict(), make_label(), make_resolution())))
    assert dump(store, without=["erasures"]) != before
    feeder.feed(erasure())
    assert dump(store, without=["erasures"]) == before
    assert read_model(store).is_erased(RETAILER, "t-1")
    assert not read_model(store).is_erased(RETAILER, "t-2")


def test_what_was_erased_does_not_come_back_when_its_records_are_read_again(store: ReadModelStore) -> None:
    feeder = Feeder(store)
    of_one = [record(each) for each in (make_transaction(), make_verdict(), make_label(), make_resolution())]
    feeder.feed(*of_one, erasure(kind=VERDICTS.kind, offset=9))
    empty = dump(store)
    feeder.feed(*of_one)
    assert dump(store) == empty
    assert read_model(store).find_transaction(RETAILER, "t-1") is None


def test_a_dead_letter_is_taken_back_by_a_later_null_value_of_its_key_alone(store: ReadModelStore) -> None:
    feeder = Feeder(store)
    letter = make_letter()
    feeder.feed(record(letter, offset=1), record(letter, offset=5), record(letter, offset=2, partition=1))
    feeder.feed(record(letter, offset=3, key="t-8"), erasure("t-9", DEAD_LETTERS.kind, offset=4))
    page = read_model(store).list_dead_letters(RETAILER)
    assert {each.name for each in page.items} == {"0:5", "1:2", "0:3"}


def test_within_one_batch_too(store: ReadModelStore) -> None:
    letter = make_letter()
    Feeder(store).feed(record(letter, offset=1), erasure("t-9", DEAD_LETTERS.kind, offset=4), record(letter, offset=5))
    assert [each.name for each in read_model(store).list_dead_letters(RETAILER).items] == ["0:5"]


def test_a_batch_takes_effect_whole_or_not_at_all(store: ReadModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    feeder = Feeder(store)
    before, progress = dump(store), store.read_progress(RETAILER)

    def fail(*_: object, **__: object) -> None:
        raise OSError("the plug was pulled")

    with monkeypatch.context() as patch:
        patch.setattr("backoffice.projection.rows.RowWriter._write_letters", fail)
        with pytest.raises(OSError, match="plug"):
            feeder.feed(*ONE_OF_EACH)
    assert dump(store) == before
    assert store.read_progress(RETAILER) == progress
    feeder.feed(*ONE_OF_EACH)
    assert dump(store) != before
    assert store.read_progress(RETAILER) == feeder.progress


def test_of_two_projectors_the_one_that_was_overtaken_is_refused_and_changes_nothing(store: ReadModelStore) -> None:
    first, second = Feeder(store), Feeder(store)
    first.feed(record(make_transaction()))
    before = dump(store)
    with pytest.raises(FencedError):
        second.feed(record(make_verdict()))
    assert dump(store) == before
    second.progress = store.read_progress(RETAILER)
    second.feed(record(make_verdict()))
    with pytest.raises(FencedError):
        store.prune(RETAILER, first.progress, 0)


def test_retailers_in_one_database_do_not_see_each_other(store: ReadModelStore) -> None:
    Feeder(store).feed(*ONE_OF_EACH)
    before = dump(store)
    other = Feeder(store, "other")
    other.feed(*renamed(ONE_OF_EACH, "other"), erasure())
    assert dump(store) == before
    assert read_model(store).find_transaction("other", "t-1") is None
    assert read_model(store).find_transaction(RETAILER, "t-1") is not None
    store.clear("other")
    assert dump(store) == before


def test_minutes_count_what_verdicts_say_when_verdicts_go_too(store: ReadModelStore) -> None:
    feeder = Feeder(store)
    later = NOON + timedelta(minutes=3)
    feeder.feed(
        record(make_verdict("t-1", revision=0, degraded=True, score=None, model_version=None)),
        record(make_verdict("t-1")),
        record(make_verdict("t-1", revision=2, decision="allow", outcome="approved")),
        record(make_verdict("t-2", decision="allow", scored_at=later)),
    )
    counted = read_model(store).count_decisions(RETAILER, NOON, NOON + timedelta(hours=1))
    assert [(each.begins, each.decision, each.degraded, each.count) for each in counted] == [
        (NOON, "hold", False, 1),
        (NOON, "hold", True, 1),
        (later, "allow", False, 1),
    ]
    feeder.feed(erasure("t-1"))
    counted = read_model(store).count_decisions(RETAILER, NOON, NOON + timedelta(hours=1), step_minutes=5)
    assert [(each.begins, each.count) for each in counted] == [(NOON, 1)]
    feeder.feed(erasure("t-2"))
    assert dump(store)["minutes"] == []


def test_what_is_older_than_the_horizon_is_pruned_in_bites_and_the_rest_stays(store: ReadModelStore) -> None:
    feeder = Feeder(store)
    old = NOON - timedelta(days=100)
    young = (make_transaction("t-2"), make_verdict("t-2"), make_label("t-2"))
    feeder.feed(*(record(each) for each in young))
    before = dump(store)
    ancient_ms = to_epoch_ms(old)
    feeder.feed(
        *(record(make_transaction(f"o-{at}", event_time=old)) for at in range(600)),
        record(make_verdict("o-1", event_time=old, scored_at=old)),
        record(make_label("o-1"), appended_ms=ancient_ms),
        record(make_label("o-x"), appended_ms=ancient_ms),
        record(make_resolution("o-2", resolved_at=old)),
        record(make_alarm(raised_at=old)),
        record(make_letter(failed_at=old)),
        erasure("o-y")._replace(appended_ms=ancient_ms),
    )
    horizon_ms = to_epoch_ms(NOON - timedelta(days=90))
    steps, more = 0, True
    while more:
        feeder.progress, more = store.prune(RETAILER, feeder.progress, horizon_ms)
        steps += 1
    assert steps == 2
    assert dump(store) == before


def test_text_that_a_database_could_refuse_does_not_stop_a_batch(store: ReadModelStore) -> None:
    Feeder(store).feed(
        record(make_letter(reason="a\x00b", part="\x00", key="\x00"), key="k\x00" * 400),
        record(make_transaction(channel="\x00", category="'; DROP TABLE verdicts --")),
        record(make_verdict(revision=2**40)),
        record(make_verdict(outcome="x" * 500)),
        erasure("z" * 1000),
        record(make_transaction("t-7"), value=b"\xff\x00{"),
        record(make_transaction("t-7"), key="another"),
    )
    model = read_model(store)
    assert model.count_dead_letters(RETAILER)[0].reason == "a\ufffdb"
    known = model.find_transaction(RETAILER, "t-1")
    assert known is not None
    assert known.line.transaction == make_transaction(channel="\x00", category="'; DROP TABLE verdicts --")
    assert [each.revision for each in known.verdicts] == [1]
    assert model.find_transaction(RETAILER, "t-7") is None


def test_an_empty_batch_is_nothing_but_progress(store: ReadModelStore) -> None:
    before = store.read_progress(RETAILER)
    after = store.write(RETAILER, before, gather([]), {})
    assert (after.version, after.next_seq, after.generation) == (before.version + 1, 1, before.generation)
    assert store.read_progress(RETAILER) == after
