"""What an earlier version left on a machine opens, says the same, and continues. `state-v1/README.md` tells how it was made."""

import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from connectors.config.connector_file import parse as parse_connector
from connectors.running.positions import SqlOffsetStore
from contract.clock import ManualClock, from_epoch_ms
from contract.federation.fields import COORDINATOR
from contract.federation.messages import LedgerEntry, Order
from contract.federation.settings import FederationSettings, ParticipantSettings
from contract.metrics import Metrics
from contract.package import read_package
from contract.settings import Settings
from embedded import ledger as stack_ledger
from federation.audit.ledger import Head, verify_chain
from federation.coordinator.assembly import build_coordinator
from federation.coordinator.process import CoordinatorProcess
from federation.coordinator.server_update import StrategyUpdate
from federation.coordinator.state import CoordinatorState
from federation.learning.numpy_learner import NumpyLearner
from federation.messages.envelope import seal, to_records
from federation.messages.identity import Identity
from federation.messages.inbox import Inbox
from federation.participant.participant import Participant
from federation.participant.process import ParticipantProcess
from federation.participant.state import ParticipantState
from federation.simulation.data import divide, generate_transactions, split
from federation.store import SqlStore
from federation.transports.memory import MemoryBroker, MemoryTransport
from federation.transports.ports import LOGS, Outgoing
from scoring.models.cache import ModelCache
from support.learning import feature_record, label
from tillguard import config
from tillguard.federation import keys, root
from trainer.drift import profile
from trainer.examples.store import ExampleStore
from trainer.model import snapshot
from trainer.model.run_onnx import run_onnx
from trainer.registry.registry import Registry

ARCHIVE = Path(__file__).parent / "state-v1" / "state.tar.xz"
THERE = "/srv/tillguard/state"
"""Where the folder was; it may be moved if the settings' paths are."""
NAMES = ("shop", "north", "south")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("earlier") / "state"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    for file in folder.rglob("*"):
        if file.suffix in {".yaml", ".json"}:
            file.write_text(file.read_text(encoding="utf-8").replace(THERE, str(folder)), encoding="utf-8")
    return folder


@pytest.fixture
def state(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TILLGUARD_STATE", str(unpacked))
    monkeypatch.delenv("TILLGUARD_CONFIG", raising=False)
    return unpacked


@pytest.fixture
def shop(state: Path) -> Settings:
    assert state.exists()
    return config.load("shop")


@pytest.fixture
def expected(state: Path) -> dict[str, Any]:
    return dict(json.loads((state / "expected.json").read_bytes()))


def test_settings_connector_files_and_the_stack_s_addresses_are_read(state: Path, shop: Settings) -> None:
    assert (shop.retailer, shop.base_currency) == ("shop", "EUR")
    assert list(shop.connectors.token_keys) == ["k1"]
    file = state / "retailers" / "shop" / "connectors" / "orders.yaml"
    assert parse_connector(file.read_text(encoding="utf-8"), str(file)).name == "orders"
    stack = stack_ledger.read(state / "stack.json")
    assert set(stack.services) == {"kafka", "redis"}
    assert stack.services["redis"].endpoint.port == shop.redis.port


def test_a_connector_continues_at_the_position_that_was_saved(shop: Settings, expected: dict[str, Any]) -> None:
    store = SqlOffsetStore(shop.connectors.positions_url.get_secret_value(), "shop")
    assert store.list_names() == [expected["positions"]["connector"]]
    saved = store.load("orders")
    assert saved is not None
    found = {"connector": saved.connector, "stage": saved.position.stage, "text": saved.position.text}
    assert found | {"version": saved.version, "mapping": saved.mapping} == expected["positions"]
    assert store.save(saved).version == saved.version + 1
    store.close()


def test_examples_are_there_with_their_features_and_labels_and_take_more(
    shop: Settings, expected: dict[str, Any]
) -> None:
    told = expected["examples"]
    store = ExampleStore(shop.trainer.examples_url.get_secret_value(), "shop")
    assert store.count()._asdict() == told["counts"]
    assert (store.read_label_number(), store.count_new_labels()) == (told["label_number"], told["new_labels"])
    ((places, rows),) = store.read_features(told["transactions"])
    assert places == list(range(len(told["transactions"])))
    np.testing.assert_array_equal([float(np.nansum(row)) for row in rows], told["feature_sums"])
    assert store.put([feature_record(1)], [label(1)]) == 1
    assert store.count_new_labels() == told["new_labels"] + 1
    store.close()


def test_models_are_registered_as_they_were_and_score_the_same_numbers(
    shop: Settings, expected: dict[str, Any]
) -> None:
    told = expected["registry"]
    registry = Registry(shop.trainer.registry_url.get_secret_value(), shop.trainer.registry_directory)
    assert [entry.manifest.model_version for entry in registry.list_models("shop")] == told["models"]
    assert [[tried.outcome, tried.source] for tried in registry.list_attempts("shop")] == told["attempts"]
    assert [promotion.model_version for promotion in registry.list_promotions("shop")] == told["promotions"]
    serving, challenger, pin = (
        registry.find_serving("shop"),
        registry.find_challenger("shop"),
        registry.find_pin("shop"),
    )
    assert serving is not None
    assert challenger is not None
    assert pin is not None
    assert (serving.manifest.model_version, challenger.model_version, pin.reason) == (
        told["serving"], told["challenger"], told["pin"],
    )  # fmt: skip
    assert all(registry.find_damage(entry) is None for entry in registry.list_models("shop"))
    store = ExampleStore(shop.trainer.examples_url.get_secret_value(), "shop")
    ((_, rows),) = store.read_features(expected["examples"]["transactions"])
    scores = run_onnx(read_package(registry.read_package(serving)).onnx, rows)
    np.testing.assert_allclose(scores, told["scores"], atol=1e-6)
    assert scores.min() < 0.1
    assert scores.max() > 0.9
    network, kept = (registry.read_attachment(serving, name) for name in (snapshot.ATTACHMENT, profile.ATTACHMENT))
    assert network is not None
    assert kept is not None
    np.testing.assert_allclose([float(each.sum()) for each in snapshot.load(network).weights], told["weights"])
    assert len(profile.decode(kept).features) == told["profile_features"]
    assert registry.unpin("shop", datetime(2026, 12, 1, tzinfo=UTC), "ann")
    assert registry.find_pin("shop") is None
    store.close()
    registry.close()


def test_a_worker_that_has_read_nothing_yet_opens_the_model_on_its_disk(
    shop: Settings, expected: dict[str, Any]
) -> None:
    cache = ModelCache(shop.scoring.model_directory, "shop", Metrics())
    assert cache.get(expected["registry"]["serving"]) is not None


class Federation:
    """The coordinator and the three participants of the folder, started again by this version over logs in memory."""

    def __init__(self, state: Path, shop: Settings) -> None:
        self.settings: FederationSettings = config.load_coordinator().federation
        kept = msgspec.msgpack.decode((state / "federation-logs.msgpack").read_bytes())
        self.clock = ManualClock(from_epoch_ms(kept["now_ms"]))
        self.broker = MemoryBroker(now_ms=0)
        for log in LOGS:
            for key, value, appended_ms in kept["logs"][log]:
                self.broker.advance_to(appended_ms)
                self.broker.take([Outgoing(log, key, value)], COORDINATOR, exclusive=True)
            self.broker.forget_before(log, kept["first"][log])
            self.broker.now_ms = 0
        self.broker.advance_to(kept["now_ms"])
        self.identity = keys.load_identity(self.settings.coordinator, "init")
        self._stores: list[SqlStore] = []
        self.coordinator = self._coordinator()
        train, _ = split(generate_transactions(1500, 6, 0.1, 1), 0.8, 1)
        self.participants = {
            name: self._participant(_own(state, shop, name), name, NumpyLearner(*split(part, 0.8, place), seed=place))
            for place, (name, part) in enumerate(zip(NAMES, divide(train, 3, 2.0, 1), strict=True))
        }

    def run_round(self) -> None:
        """Orders one round and lets everybody take turns until it is over."""
        order = Order(action="run", rounds=1, order_id=f"{99:032x}")
        signed = seal(
            order, self.identity, federation=self.settings.name, sent_at_ms=self.broker.now_ms, sender="operator"
        )
        for record in to_records(signed, self.identity):
            self.broker.take([Outgoing("updates", b"operator", record)], "operator", exclusive=True)
        before = self.coordinator.coordinator.state.model.version
        for _ in range(1_000):
            self.coordinator.run_once(0.0)
            for participant in self.participants.values():
                participant.run_once(0.0)
            if self.coordinator.coordinator.state.model.version > before and self.coordinator.coordinator.idle:
                return
            self.clock.advance(0.5)
            self.broker.advance_to(self.broker.now_ms + 500)
        pytest.fail("the round does not come to its end")

    def entries(self) -> list[LedgerEntry]:
        inbox = Inbox(self.settings.name, self.identity, log="ledger")
        return [
            opened.message
            for record in self.broker.read("ledger", 0, 100_000)
            for opened in inbox.take(record.value, roster=lambda _: self.identity.public, now_ms=record.appended_ms)
            if isinstance(opened.message, LedgerEntry)
        ]

    def close(self) -> None:
        for store in self._stores:
            store.close()

    def _store(self, settings: Any) -> SqlStore:
        self._stores.append(SqlStore(settings.store_url.get_secret_value(), setting="store_url"))
        return self._stores[-1]

    def _coordinator(self) -> CoordinatorProcess:
        model = keys.read_model(self.settings.coordinator.model_file)
        update = StrategyUpdate(self.settings.rounds, None)
        process = CoordinatorProcess(
            self.identity,
            self.settings.name,
            MemoryTransport(self.broker, COORDINATOR, exclusive=True),
            self._store(self.settings.coordinator),
            self.clock,
            initial=CoordinatorState(model=model),
            assemble=lambda state: build_coordinator(
                self.identity, self.settings, state, server_update=update, dropped=lambda *_: None
            ),
        )
        process.recover()
        return process

    def _participant(self, own: ParticipantSettings, name: str, learner: NumpyLearner) -> ParticipantProcess:
        identity: Identity = keys.load_identity(own, "enrol", name)
        trusting = own.model_copy(update={"coordinator_fingerprint": self.identity.public.fingerprint})

        def assemble(state: ParticipantState) -> Participant:
            return Participant(identity, self.settings.name, trusting, state)

        transport = MemoryTransport(self.broker, name)
        return ParticipantProcess(
            identity, self.settings.name, transport, self._store(own), self.clock, learner=learner, assemble=assemble
        )


def _own(state: Path, shop: Settings, name: str) -> ParticipantSettings:
    folder = state / "retailers" / name
    return ParticipantSettings.model_validate(
        shop.federation.participant.model_dump()
        | {"key_file": folder / "participant.key", "store_url": f"sqlite:///{folder / 'participant.db'}"}
    )


def test_a_federation_s_keys_open_and_its_rounds_and_its_ledger_continue(
    state: Path, shop: Settings, expected: dict[str, Any]
) -> None:
    told = expected["federation"]
    assert (
        keys.read_public_identity(config.load_coordinator().federation.coordinator).fingerprint == told["fingerprint"]
    )
    assert root.read_decided_version(shop.federation, "shop") == told["adopted"]
    federation = Federation(state, shop)
    try:
        known = federation.coordinator.coordinator.state
        assert sorted(member.name for member in known.list_approved()) == told["members"]
        assert (known.model.version, known.epoch) == (told["round_models"], told["epoch"] + 1)
        federation.run_round()
        entries = federation.entries()
        before = verify_chain(entries[: told["ledger_entries"]])
        assert before.head == Head(told["ledger_entries"], bytes.fromhex(told["ledger_digest"]))
        audit = verify_chain(entries)
        assert audit.holds
        assert audit.head == federation.coordinator.coordinator.state.ledger
        assert audit.head.following > told["ledger_entries"]
        assert {each.participant.membership for each in federation.participants.values()} == {"approved"}
    finally:
        federation.close()
    assert root.read_decided_version(shop.federation, "shop") == told["round_models"] + 1
