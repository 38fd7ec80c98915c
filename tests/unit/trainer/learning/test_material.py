"""What a training is made on, by the store's rules and by those of a file: they are the same."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.clock import to_epoch_ms
from contract.errors import TrainingRefusedError
from contract.features import get_feature_names
from contract.settings import Settings, parse
from contract.windows import DAY_MS
from support.learning import BEGAN, feature_record, label
from trainer.examples.label_log import LabelLog
from trainer.examples.spool import Spool
from trainer.examples.store import ExampleStore
from trainer.learning.material import Material, Read, gather_from_history, gather_from_store

ROWS = 600
NOW = BEGAN + timedelta(days=30)
NEXT_YEAR = to_epoch_ms(NOW) + 365 * DAY_MS
NO_READ = Read(ROWS, {})


def is_fraud(number: int) -> bool:
    return number % 10 == 0


@pytest.fixture
def settings() -> Settings:
    return parse({"retailer": "shop", "trainer": {"label_delay_days": 0}}, where="test")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ExampleStore]:
    opened = ExampleStore(f"sqlite:///{tmp_path / 'examples.db'}", "shop")
    yield opened
    opened.close()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    folder = tmp_path / "spool"
    folder.mkdir()
    with Spool(folder) as opened:
        for number in range(ROWS):
            row = np.full((1, len(get_feature_names())), number, dtype=np.float32)
            opened.append([f"t-{number}"], [to_epoch_ms(BEGAN) + number * 60_000], [number + 1], [1_000], row)
        yield opened


def log_of(numbers: Any, *, source: str = "chargeback", label_time_ms: int | None = None) -> LabelLog:
    log = LabelLog()
    for number in numbers:
        log.add(f"t-{number}", is_fraud(number), label_time_ms or to_epoch_ms(BEGAN) + DAY_MS, source)
    return log


def history(settings: Settings, spool: Spool, log: LabelLog, *, untimed: bool = False) -> Material:
    return gather_from_history(settings, spool, log, NOW, untimed=untimed, read=NO_READ)


def taken(material: Material) -> set[int]:
    """Numbers of the transactions in any slice: their first feature."""
    return {int(value) for part in material.parts for value in part.features[:, 0]}


def test_what_was_stopped_and_has_no_label_is_in_no_slice_and_what_was_let_through_is(
    settings: Settings, store: ExampleStore
) -> None:
    decided = {1: "block", 2: "hold", 3: "block", 4: "allow", 6: "hold"}
    records = [feature_record(n, decision=decided.get(n, "allow"), control=n == 6) for n in range(ROWS)]
    store.put(records, [label(n) for n in range(0, ROWS, 10)] + [label(3, fraud=False)])
    material = gather_from_store(settings, store, NOW)
    assert taken(material) == set(range(ROWS)) - {1, 2}
    assert material.read.transactions == ROWS
    assert sum(material.read.left_out.values()) == 2


def test_of_a_file_a_transaction_without_a_label_is_in_no_slice_whatever_it_was_decided(
    settings: Settings, spool: Spool
) -> None:
    known = [number for number in range(ROWS) if number % 7 != 3]
    assert taken(history(settings, spool, log_of(known))) == set(known)


def test_a_label_from_the_future_is_used_by_neither(settings: Settings, store: ExampleStore, spool: Spool) -> None:
    early = [feature_record(n) for n in range(ROWS)]
    future = [label(n, label_time=NOW + timedelta(days=365)) for n in range(1, ROWS, 10)]
    store.put(early, [label(n) for n in range(0, ROWS, 10)] + future)
    assert gather_from_store(settings, store, NOW).data.frauds == ROWS // 10
    log = log_of(number for number in range(ROWS) if number % 2 == 0)
    for number in range(1, ROWS, 2):
        log.add(f"t-{number}", True, NEXT_YEAR, "chargeback")
    material = history(settings, spool, log)
    assert (material.data.transactions, material.data.frauds) == (ROWS // 2, ROWS // 10)


def test_a_correction_of_today_holds_against_a_label_from_the_future(
    settings: Settings, store: ExampleStore, spool: Spool
) -> None:
    store.put(
        [feature_record(n) for n in range(ROWS)],
        [*(label(n) for n in range(0, ROWS, 10)), label(5, day=365), label(5, day=2, fraud=False)],
    )
    assert gather_from_store(settings, store, NOW).data.frauds == ROWS // 10
    log = log_of(range(ROWS))
    log.add("t-10", True, NEXT_YEAR, "chargeback")
    log.add("t-10", False, to_epoch_ms(NOW), "chargeback")
    assert history(settings, spool, log).data.frauds == ROWS // 10 - 1


def test_labels_of_a_file_that_have_no_time_are_known_since_the_file_is_there(settings: Settings, spool: Spool) -> None:
    log = log_of(range(ROWS), label_time_ms=to_epoch_ms(NOW) + 3 * DAY_MS)
    assert history(settings, spool, log, untimed=True).data.transactions == ROWS
    with pytest.raises(TrainingRefusedError, match="none of its 600 transactions is labelled"):
        history(settings, spool, log)


def test_a_source_that_trusted_ones_contradict_teaches_neither(
    settings: Settings, store: ExampleStore, spool: Spool
) -> None:
    labels = [label(n, fraud=is_fraud(n)) for n in range(ROWS)]
    lies = [label(n, fraud=not is_fraud(n), source="customer", day=2) for n in range(0, ROWS, 3)]
    store.put([feature_record(n) for n in range(ROWS)], [*labels, *lies])
    log = log_of(range(ROWS))
    for number in range(0, ROWS, 3):
        log.add(f"t-{number}", not is_fraud(number), to_epoch_ms(BEGAN) + 2 * DAY_MS, "customer")
    for material in (gather_from_store(settings, store, NOW), history(settings, spool, log)):
        assert material.notes["distrusted_sources"] == "customer"
        assert (material.data.transactions, material.data.frauds) == (ROWS, ROWS // 10)


def test_only_trusted_sources_say_what_the_newest_slice_is(settings: Settings, spool: Spool) -> None:
    assert set(history(settings, spool, log_of(range(ROWS))).verified.tolist()) == {0, 1}
    assert set(history(settings, spool, log_of(range(ROWS), source="customer")).verified.tolist()) == {-1}


def test_a_file_is_split_by_time_as_a_whole(settings: Settings, spool: Spool) -> None:
    material = history(settings, spool, log_of(range(ROWS)))
    assert [len(part) for part in material.parts] == [420, 90, 90]
    assert material.parts.test.features[:, 0].tolist() == [float(number) for number in range(510, 600)]
    assert len(material.verified) == 90
    assert material.fraud_share is None


def test_a_store_in_which_nothing_is_known_yet_says_what_to_do(settings: Settings, store: ExampleStore) -> None:
    with pytest.raises(TrainingRefusedError, match="no transaction was scored"):
        gather_from_store(settings, store, NOW)
    store.put([feature_record(n) for n in range(20)], [])
    waiting = settings.model_copy(update={"trainer": settings.trainer.model_copy(update={"label_delay_days": 7.0})})
    with pytest.raises(TrainingRefusedError, match="--label-delay-days 0` takes them all"):
        gather_from_store(waiting, store, NOW)
