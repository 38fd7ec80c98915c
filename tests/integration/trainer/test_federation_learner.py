"""Retailers with their own stores, networks and registries in a federation on a real Kafka."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from contract.clock import ManualClock
from contract.federation.messages import Order
from contract.federation.settings import (
    CoordinatorSettings,
    FederationSettings,
    LocalTrainingSettings,
    ParticipantSettings,
    PhaseTimes,
    RoundSettings,
)
from contract.settings import Settings
from federation.audit.history import list_rounds
from federation.coordinator.process import CoordinatorProcess
from federation.learning.learner import TrainingUnableError
from federation.learning.metrics import log_loss
from federation.messages.identity import Identity
from federation.numeric import calibration
from federation.numeric.tensors import unflatten
from federation.participant.process import ParticipantProcess
from support.learning import BEGAN, Simulated, simulated
from tillguard.federation import keys, root
from tillguard.federation.evaluation import build_evaluator, write_labelled
from tillguard.federation.learner import RetailerLearner, build_initial_model, format_lineage, get_shapes
from trainer.examples.store import ExampleStore
from trainer.federated import joint_form
from trainer.learning.training_attempt import learn
from trainer.registry.registry import Entry, Registry

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
ROWS = 6_000
DEADLINE_S = 600.0
PHASE = PhaseTimes(min_s=120, max_s=300)
"""Everybody answers here, so nobody waits for it."""


class Shop(NamedTuple):
    """A retailer some weeks after its last sale."""

    settings: Settings
    store: ExampleStore
    registry: Registry
    clock: ManualClock

    @property
    def learner(self) -> RetailerLearner:
        return RetailerLearner(self.settings, self.clock)

    def learn(self) -> str | None:
        self.clock.advance(60)
        return learn(self.settings, clock=self.clock).model_version

    def serving(self) -> Entry:
        entry = self.registry.find_serving(self.settings.retailer)
        assert entry is not None
        return entry


class Federation(NamedTuple):
    """The coordinator and whoever takes part, in one thread."""

    settings: FederationSettings
    identity: Identity
    process: CoordinatorProcess
    taking_part: dict[str, ParticipantProcess]

    def join(self, shop: Shop, stack: ExitStack) -> None:
        own, name = shop.settings.federation, shop.settings.retailer
        public = keys.make_identity(name, own.participant)
        identity = keys.load_identity(own.participant, "enrol")
        root.enrol(own, identity)
        self.order(Order(action="approve", participant=name, fingerprint=public.fingerprint))
        process = root.open_participant_process(own, identity, shop.learner, shapes=get_shapes())
        self.taking_part[name] = stack.enter_context(process)

    def order(self, order: Order) -> None:
        root.give_order(self.settings, self.identity, order)

    def until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not reached():
            assert time.monotonic() < deadline, self.process.coordinator.state
            self.process.run_once(0.05)
            for each in self.taking_part.values():
                each.run_once(0.05)

    def round(self, number: int) -> None:
        """Runs a training and its calibration, until everybody has decided on the model; statistics come before the first."""
        joined = self.taking_part.values()
        self.until(lambda: all(each.participant.membership == "approved" for each in joined))
        self.order(Order(action="run", rounds=1))
        self.until(lambda: all(each.participant.state.adopted_version == 1 + 2 * number for each in joined))


@pytest.fixture
def federation_settings(stack: Any, retailer_name: str, tmp_path: Path) -> FederationSettings:
    return FederationSettings(
        bootstrap_servers=stack.endpoints["kafka"].uri,
        name=retailer_name.replace("shop", "f"),
        coordinator=CoordinatorSettings(
            key_file=tmp_path / "coordinator.key",
            store_url=f"sqlite:///{tmp_path / 'coordinator.db'}",
            model_file=tmp_path / "model.npz",
        ),
        rounds=RoundSettings(
            keys=PHASE, shares=PHASE, updates=PHASE, unmasking=PHASE,
            training=LocalTrainingSettings(epochs=4, batch_size=64, learning_rate=1e-3),
        ),
    )  # fmt: skip


@pytest.fixture
def opened(retailer: Any, federation_settings: FederationSettings, tmp_path: Path) -> Iterator[Callable[[str], Shop]]:
    """Makes a retailer that has nothing yet; the coordinator's keys are made first."""
    public = root.initialise(federation_settings)
    keys.write_model(federation_settings.coordinator.model_file, build_initial_model(7))
    shops: list[Shop] = []

    def open_(suffix: str) -> Shop:
        name, folder = f"{retailer.name}-{suffix}", tmp_path / suffix
        folder.mkdir()
        own = ParticipantSettings(
            key_file=folder / "own.key",
            store_url=f"sqlite:///{folder / 'participant.db'}",
            coordinator_fingerprint=public.fingerprint,
        )
        urls = {
            what: type(retailer.settings.trainer.examples_url)(f"sqlite:///{folder / what}.db") for what in ("r", "e")
        }
        trainer = retailer.settings.trainer.model_copy(
            update={
                "registry_url": urls["r"], "registry_directory": folder / "registry", "examples_url": urls["e"],
                "epochs_max": 8, "gate_frauds_min": 5,
            }
        )  # fmt: skip
        settings = retailer.settings.model_copy(
            update={
                "retailer": name, "trainer": trainer,
                "federation": federation_settings.model_copy(update={"participant": own}),
            }
        )  # fmt: skip
        store = ExampleStore(trainer.examples_url.get_secret_value(), name)
        registry = Registry(trainer.registry_url.get_secret_value(), trainer.registry_directory)
        shops.append(Shop(settings, store, registry, ManualClock(BEGAN + timedelta(days=60))))
        return shops[-1]

    yield open_
    for shop in shops:
        shop.store.close()
        shop.registry.close()


def put(shop: Shop, some: Simulated, wanted: Callable[[int], bool]) -> None:
    places = [place for place in range(len(some.sales)) if wanted(place)]
    shop.store.put([some.records[place] for place in places], [some.labels[place] for place in places])


def _is_normalised_and_calibrated(arrays: list[np.ndarray], some: Simulated) -> None:
    from trainer.federated import local_round  # TensorFlow is loaded when it is needed

    parted = joint_form.split_arrays(arrays)
    plain, common = joint_form.build_constants(), joint_form.build_constants(statistics=parted.statistics)
    assert joint_form.hash_form(plain) != joint_form.hash_form(common), (
        "its inputs are normalised by what all retailers have"
    )
    features = np.stack([np.frombuffer(record.values, "<f4") for record in some.records])
    logits = local_round.compute_logits(arrays, features)
    said = calibration.compute_probability(calibration.Scaling(*map(float, parted.scaling)), logits)
    share = np.mean([sale.truth.fraud for sale in some.sales])
    assert 0.3 < said.mean() / share < 2, "its probabilities are those of all retailers' examples"
    fraud = np.array([sale.truth.fraud for sale in some.sales])
    uncalibrated = log_loss(1 / (1 + np.exp(-logits.astype(np.float64))), fraud)
    assert log_loss(said, fraud) < 0.9 * uncalibrated, "without, prior odds are missing"


def test_a_newcomer_takes_the_model_that_others_taught_and_who_has_a_surely_better_one_keeps_it(
    retailer: Any, federation_settings: FederationSettings, opened: Callable[[str], Shop], tmp_path: Path
) -> None:
    some = simulated(retailer.settings, rows=ROWS, seed=3)
    kinds = sorted({each.truth.kind or "" for each in some.sales if each.truth.fraud})

    def of_groups(groups: tuple[int, ...], place: int) -> bool:
        truth = some.sales[place].truth
        return not truth.fraud or kinds.index(truth.kind or "") % 3 in groups

    others = [opened(name) for name in "abc"]
    for group, shop in enumerate(others):
        put(shop, some, partial(of_groups, (group, (group + 1) % 3)))
    settled = others[0]
    best = settled.learn()
    newcomer = opened("d")
    with pytest.raises(TrainingUnableError, match="no example"):
        newcomer.learner.check()
    # Its own model saw one group of frauds only, and few of them; now all kinds come.
    put(newcomer, some, lambda place: place < 2 * ROWS // 3 and of_groups((0,), place))
    worse = newcomer.learn()
    assert worse is not None
    put(newcomer, some, lambda _: True)

    identity = keys.load_identity(federation_settings.coordinator, "init")
    held = tmp_path / "held.npz"
    assert write_labelled(newcomer.learner, held) == len(newcomer.learner.read_newest()[1]) > 100
    measuring = federation_settings.coordinator.model_copy(update={"evaluation_file": held})
    evaluate = build_evaluator(federation_settings.model_copy(update={"coordinator": measuring}))
    with (
        ExitStack() as stack,
        root.open_coordinator_process(federation_settings, identity, evaluate=evaluate) as process,
    ):
        federation = Federation(federation_settings, identity, process, {})
        for shop in others:
            federation.join(shop, stack)
        federation.round(1)
        assert newcomer.serving().manifest.model_version == worse
        # After one round the common model decides far more dearly than one that has seen the same kinds for long.
        assert settled.serving().manifest.model_version == best
        federation.join(newcomer, stack)
        federation.round(2)
        model = process.coordinator.state.model
        assert model.shapes == get_shapes()

    for shop in others[1:]:
        assert (shop.serving().manifest.base or "").startswith(format_lineage(federation_settings.name, 1)[:-1])
    taken = newcomer.serving()
    version = int(taken.manifest.parameters["federation_version"])
    assert taken.manifest.base == format_lineage(federation_settings.name, version)
    assert taken.manifest.parity_max_abs_diff < 1e-4
    arrays = unflatten(model.shapes, model.payload)
    _is_normalised_and_calibrated(arrays, some)
    figures = newcomer.learner.judge([arrays])[0]
    assert figures["auc"] > 0.7
    last = list_rounds(root.load_history(federation_settings, identity.public.fingerprint).entries)[-1]
    assert last.metrics["auc"] == pytest.approx(figures["auc"], abs=1e-6), (
        "the coordinator measures on the same examples"
    )
    known = len(newcomer.registry.list_models(newcomer.settings.retailer))
    # As after a kill before the decision was stored.
    assert (
        newcomer.learner.adopt(version, arrays, trainings=1).decision == taken.manifest.parameters["federation_choice"]
    )
    assert len(newcomer.registry.list_models(newcomer.settings.retailer)) == known
    assert newcomer.serving().manifest.model_version == taken.manifest.model_version
    with pytest.raises(TrainingUnableError, match="finite"):
        newcomer.learner.adopt(3, [*arrays[:-1], np.full(3, np.nan, np.float32)], trainings=1)


class Killed(BaseException):
    """As if the process ended here: nothing catches it."""


@pytest.mark.parametrize(
    "step",
    ["begin_promotion", *(pytest.param(step, marks=pytest.mark.slow) for step in ("add", "confirm_promotion"))],
)
def test_killed_while_it_takes_a_global_model_a_retailer_takes_it_once_and_whole(
    retailer: Any, opened: Callable[[str], Shop], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    shop = opened("e")
    some = simulated(retailer.settings, rows=ROWS // 2, seed=5)
    put(shop, some, lambda _: True)
    arrays = list(build_initial_model(7).values())
    with monkeypatch.context() as patched:

        def die(*_: Any, **__: Any) -> Any:
            raise Killed

        patched.setattr(Registry, step, die)
        with pytest.raises(Killed):
            shop.learner.adopt(1, arrays, trainings=1)
    assert shop.registry.find_serving(shop.settings.retailer) is None, "nothing serves that was not taken wholly"
    taken = shop.learner.adopt(1, arrays, trainings=1)
    assert taken.decision != "local"
    assert shop.serving().manifest.base == format_lineage(shop.settings.federation.name, 1)
    assert len(shop.registry.list_models(shop.settings.retailer)) == 1
    again = shop.learner.adopt(1, arrays, trainings=1)
    assert again.decision == taken.decision
    promotions = shop.registry.list_promotions(shop.settings.retailer)
    assert [promotion.confirmed for promotion in promotions].count(True) == 1
