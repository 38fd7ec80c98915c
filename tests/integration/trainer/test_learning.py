"""Learning from the examples store on real training: what is new is learned, what is poisoned does not get through the gate."""

import random
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from contract.clock import ManualClock
from contract.errors import PackageRefusedError, TransientError
from contract.events import Label, LabelSource
from contract.package import read_package
from contract.settings import Settings
from contract.statistics.ranking import average_precision
from support import training_memory
from support.learning import BEGAN, Simulated, simulated
from support.tiny_model import tiny_package
from trainer.examples.store import ExampleStore
from trainer.learning import training
from trainer.learning.publication import pin, promote_model, roll_back
from trainer.learning.training_attempt import Attempt, How, Progress, learn
from trainer.model import snapshot
from trainer.model.run_onnx import run_onnx
from trainer.registry.registry import Registry

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
ROWS = 7_000
NEW_KIND = "coupon_abuse"


class Shop(NamedTuple):
    """A retailer with its store and registry, some weeks after its last sale."""

    settings: Settings
    store: ExampleStore
    registry: Registry
    clock: ManualClock

    def learn(self, *, progress: Progress | None = None, **how: Any) -> Attempt:
        self.clock.advance(60)
        return learn(self.settings, How(**how), clock=self.clock, progress=progress)

    def with_trainer(self, **changes: Any) -> "Shop":
        trainer = self.settings.trainer.model_copy(update=changes)
        return self._replace(settings=self.settings.model_copy(update={"trainer": trainer}))

    def serving(self) -> str:
        entry = self.registry.find_serving(self.settings.retailer)
        assert entry is not None
        return entry.manifest.model_version

    def scores(self, version: str, some: Simulated) -> np.ndarray:
        entry = self.registry.find(self.settings.retailer, version)
        assert entry is not None
        features = np.stack([np.frombuffer(record.values, "<f4") for record in some.records])
        return run_onnx(read_package(self.registry.read_package(entry)).onnx, features)

    def truth(self, version: str, some: Simulated) -> float:
        """Average precision on what the sales really were."""
        return average_precision(self.scores(version, some), np.array([each.truth.fraud for each in some.sales]))


@pytest.fixture
def shop(retailer: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(training, "make", training_memory.make)
    settings = retailer.settings
    trainer = settings.trainer.model_copy(update={"newest_examples": 10_000, "epochs_max": 6})
    settings = settings.model_copy(update={"trainer": trainer})
    store = ExampleStore(trainer.examples_url.get_secret_value(), retailer.name)
    registry = Registry(trainer.registry_url.get_secret_value(), trainer.registry_directory)
    yield Shop(settings, store, registry, ManualClock(BEGAN + timedelta(days=60)))
    registry.close()
    store.close()


@pytest.fixture
def some(shop: Shop) -> Simulated:
    return simulated(shop.settings, rows=ROWS, seed=3)


def newest(some: Simulated) -> Simulated:
    begin = int(0.85 * len(some.sales))
    return Simulated(some.sales[begin:], some.records[begin:], some.labels[begin:])


def flipped(labels: Sequence[Label], source: LabelSource) -> list[Label]:
    """All labels again, from `source` and newer, 5% of them the other way round."""
    chance = random.Random(5)
    return [
        msgspec.structs.replace(
            each,
            source=source,
            fraud=each.fraud is not (chance.random() < 0.05),
            label_time=each.label_time + timedelta(hours=1),
        )
        for each in labels
    ]


def test_a_poisoned_feed_does_not_get_a_worse_model_published_and_the_refusal_says_why(
    shop: Shop, some: Simulated
) -> None:
    shop.store.put(some.records, some.labels)
    good = shop.learn()
    assert good.outcome == "published"
    shop.store.put([], flipped(some.labels, "chargeback"))
    for fresh in (False, True):
        poisoned = shop.learn(fresh=fresh, keep=True)
        assert poisoned.outcome == "refused"
        assert "better in" in poisoned.reason
        assert f"{poisoned.comparison['average_precision_serving']:.3f} of the model that serves" in poisoned.reason
        assert shop.serving() == good.model_version
        assert shop.store.count_new_labels() == 0  # they were looked at; the next training begins with newer ones
    # The gate had something to refuse: what was learned from the poisoned labels alone is worse in truth.
    assert good.model_version is not None
    assert poisoned.model_version is not None
    test = newest(some)
    assert shop.truth(poisoned.model_version, test) < shop.truth(good.model_version, test) - 0.005


def test_a_source_that_trusted_ones_contradict_is_not_learned_from(shop: Shop, some: Simulated) -> None:
    shop.store.put(some.records, some.labels)
    good = shop.learn()
    shop.store.put([], flipped(some.labels, "customer"))
    poisoned = shop.learn(keep=True)
    assert poisoned.model_version is not None
    entry = shop.registry.find(shop.settings.retailer, poisoned.model_version)
    assert entry is not None
    assert entry.manifest.parameters["distrusted_sources"] == "customer"
    assert poisoned.counts == good.counts  # the labels of the others stand
    assert shop.truth(poisoned.model_version, newest(some)) > shop.truth(shop.serving(), newest(some)) - 0.02


def test_a_new_kind_of_fraud_is_learned_on_from_the_serving_model(shop: Shop, some: Simulated) -> None:
    kinds = {each.truth.kind for each in some.sales}
    assert NEW_KIND in kinds
    half = len(some.sales) // 2
    known = [place for place in range(half) if some.sales[place].truth.kind != NEW_KIND]
    shop.store.put([some.records[place] for place in known], [some.labels[place] for place in known])
    before = shop.learn()
    assert before.outcome == "published"
    assert before.base is None
    shop.store.put(some.records[half:], some.labels[half:])
    after = shop.learn()
    assert after.outcome == "published", after.reason
    assert after.base == before.model_version
    assert after.comparison["surely_better"] >= 0.95
    test = newest(some)
    new = np.array([each.truth.kind == NEW_KIND for each in test.sales])
    genuine = np.array([not each.truth.fraud for each in test.sales])
    recall = []
    for attempt in (before, after):
        assert attempt.model_version is not None
        score = shop.scores(attempt.model_version, test)
        recall.append(float((score[new] > np.quantile(score[genuine], 0.98)).mean()))
    assert recall[1] > recall[0] + 0.2


def test_the_same_store_gives_the_same_model(shop: Shop, some: Simulated) -> None:
    shop.store.put(some.records[:3_000], some.labels[:3_000])
    first, second = shop.learn(keep=True), shop.learn(fresh=True, keep=True)
    assert first.outcome == "published", "else the second is not made again"
    assert first.model_version is not None
    assert second.model_version is not None
    assert first.model_version.rsplit("-", 1)[1] == second.model_version.rsplit("-", 1)[1]  # the checksum of the graph


def test_what_cannot_be_learned_from_is_said_and_its_labels_stay_new(shop: Shop, some: Simulated) -> None:
    assert shop.learn().outcome == "thin"
    shop.store.put(some.records[:40], some.labels[:40])
    thin = shop.learn()
    assert thin.outcome == "thin"
    assert shop.store.count_new_labels() == 40
    entry = shop.registry.add(tiny_package("tiny-1", shop.settings.retailer))
    promote_model(shop.settings, shop.registry, entry, by="ann", now=shop.clock.now())
    pin(shop.settings, shop.registry, entry, by="ann", now=shop.clock.now(), reason="holidays")
    pinned = shop.learn()
    assert (pinned.outcome, "holidays" in pinned.reason) == ("pinned", True)


def test_a_serving_model_without_its_network_or_with_a_damaged_one_is_replaced_from_the_beginning(
    shop: Shop, some: Simulated
) -> None:
    shop.store.put(some.records[:4_000], some.labels[:4_000])
    package = tiny_package("tiny-1", shop.settings.retailer, weights={"basket_items": 0.01})
    entry = shop.registry.add(package, {snapshot.ATTACHMENT: b"no network"})
    promote_model(shop.settings, shop.registry, entry, by="ann", now=shop.clock.now())
    attempt = shop.learn()
    assert (attempt.outcome, attempt.base) == ("published", None)
    (network,) = [each for each in shop.registry.list_attachments(_find(shop)) if each.name == snapshot.ATTACHMENT]
    network.file.write_bytes(network.file.read_bytes()[:-1] + b"?")
    with pytest.raises(PackageRefusedError):
        shop.registry.read_attachment(_find(shop), snapshot.ATTACHMENT)
    assert shop.learn().base is None


def test_a_promotion_that_a_kill_cut_short_is_finished_first(shop: Shop, some: Simulated) -> None:
    shop.store.put(some.records[:3_000], some.labels[:3_000])
    first = shop.learn()
    package = tiny_package("tiny-1", shop.settings.retailer, weights={"basket_items": 0.01})
    entry = shop.registry.add(package)
    shop.registry.begin_promotion(entry, shop.clock.now(), "trainer", "trained", "better")
    assert shop.serving() == first.model_version
    again = shop.learn()
    versions = [(each.model_version, each.confirmed) for each in shop.registry.list_promotions(shop.settings.retailer)]
    assert ("tiny-1", True) in versions
    assert again.outcome == "published"  # compared with what serves now, which knows nothing
    assert again.comparison["average_precision_serving"] < 0.5


def test_a_rollback_during_a_training_is_not_undone_the_model_is_compared_with_what_serves_now(
    shop: Shop, some: Simulated
) -> None:
    shop.store.put(some.records[:3_000], some.labels[:3_000])
    good = shop.learn()
    assert good.outcome == "published", good.reason
    bad = shop.registry.add(tiny_package("tiny-1", shop.settings.retailer, weights={"basket_items": 0.01}))
    promote_model(shop.settings, shop.registry, bad, by="ann", now=shop.clock.now())

    def roll(epoch: int, _: float) -> None:
        if epoch == 1:
            roll_back(shop.settings, shop.registry, by="ann", now=shop.clock.now(), reason="bad")

    late = shop.learn(fresh=True, progress=roll)
    assert late.outcome == "refused"
    assert f"it is the very model that serves, {good.model_version}" in late.reason
    assert shop.serving() == good.model_version
    assert shop.registry.list_promotions(shop.settings.retailer)[0].kind == "rollback"


def test_a_damaged_file_of_the_serving_model_is_restored_and_never_opens_the_gate(shop: Shop, some: Simulated) -> None:
    shop.store.put(some.records[:3_000], some.labels[:3_000])
    good = shop.learn()
    file = _find(shop).file
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    again = shop.learn(fresh=True)
    assert again.outcome == "refused"
    assert f"it is the very model that serves, {good.model_version}" in again.reason
    assert file.read_bytes() == whole

    unsent = shop.registry.add(tiny_package("tiny-1", shop.settings.retailer, weights={"basket_items": 0.01}))
    shop.registry.confirm_promotion(shop.registry.begin_promotion(unsent, shop.clock.now(), "ann"))
    unsent.file.write_bytes(b"half")
    blind = shop.learn(fresh=True, keep=True)
    assert blind.outcome == "failed"
    assert "the model that serves, tiny-1, cannot be compared with, so no other is put in service" in blind.reason
    assert "does not hold it whole either" in blind.reason
    assert shop.serving() == "tiny-1"


def _find(shop: Shop) -> Any:
    return shop.registry.find_serving(shop.settings.retailer)


def test_a_broker_that_does_not_take_the_model_leaves_the_labels_new_and_the_next_attempt_publishes(
    shop: Shop, some: Simulated
) -> None:
    shop.store.put(some.records[:3_000], some.labels[:3_000])
    kafka = shop.settings.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1", "request_timeout_s": 1.0})
    cut_off = shop._replace(settings=shop.settings.model_copy(update={"kafka": kafka}))
    with pytest.raises(TransientError):
        cut_off.learn()
    assert shop.registry.find_serving(shop.settings.retailer) is None
    assert shop.store.count_new_labels() == 3_000
    assert shop.learn().outcome == "published"
    assert shop.store.count_new_labels() == 0
