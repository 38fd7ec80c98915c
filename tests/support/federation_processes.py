"""A federation of real processes on a real Kafka, as its users start them; for tests that kill them."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from contract.errors import TransientError
from contract.federation.messages import Order
from contract.federation.settings import FederationSettings, RoundPrivacySettings
from contract.settings import CoordinatorFile, Settings, parse, parse_as
from federation.audit.history import History, LogReader, decode_content, list_rounds, rebuild_privacy_ledger
from federation.learning.numpy_learner import initialise_arrays, list_shapes
from federation.simulation.data import divide, generate_transactions
from federation.transports.kafka_logs import KafkaTransport
from federation.transports.ports import LOGS, LogName
from support import forked
from support.dying_transport import last_words
from support.federation_kinds import Heading, headings_of
from support.federation_proof import of_round
from support.forked import ForkedProcess
from tillguard.federation import keys, root

DEADLINE_S = 240.0
LOOK_AGAIN_S = 0.2
"""Between two readings of a condition that is waited for: a reader that never rests takes a core from those it waits for."""
DYING = Path(__file__).with_name("dying_coordinator.py")
DYING_PARTICIPANT = Path(__file__).with_name("dying_participant.py")
PARTICIPANT = Path(__file__).with_name("numpy_participant.py")
FEATURES = 6
PHASE = {"min_s": 0.5, "max_s": 20}
PRIVACY = RoundPrivacySettings(level="client", noise_multiplier=8.0, epsilon_max=100)
"""Of every round here, so that each kill is also one of the privacy ledger."""


class Processes:
    """The coordinator and its participants; every one ends with `stop`."""

    def __init__(self, folder: Path, name: str, bootstrap_servers: str, participants: int, **rounds: Any) -> None:
        self.folder = folder
        self.name = name
        self.running: dict[str, ForkedProcess] = {}
        self._reader: LogReader | None = None
        self._account = rebuild_privacy_ledger((), PRIVACY)
        self._transport: KafkaTransport | None = None
        connection = {"bootstrap_servers": bootstrap_servers, "name": name}
        chosen = {
            "mode": "masked", "cohort_min": 3, "keys": {"min_s": 2, "max_s": 60}, "shares": PHASE, "updates": PHASE,
            "unmasking": PHASE, "attempts_max": 5, "training": {"epochs": 1, "learning_rate": 0.01},
            "privacy": PRIVACY.model_dump(mode="json"),
        }  # fmt: skip
        own = {
            "key_file": str(folder / "coordinator.key"),
            "store_url": f"sqlite:///{folder / 'coordinator.db'}",
            "model_file": str(folder / "model.npz"),
        }
        self._document: dict[str, Any] = {
            "federation": connection | {"coordinator": own, "rounds": chosen},
            "log": {"format": "text"},
        }
        self.configure(**rounds)
        file = self.file("coordinator")
        self.settings: FederationSettings = parse_as(
            CoordinatorFile, yaml.safe_load(file.read_text()), where=str(file)
        ).federation
        arrays = initialise_arrays(FEATURES, (4,), seed=7)
        first = {shape.name: array for shape, array in zip(list_shapes(FEATURES, (4,)), arrays, strict=True)}
        keys.write_model(folder / "first.npz", first)
        self.call("init", "--config", str(file), "--model", str(folder / "first.npz"))
        self.identity = keys.load_identity(self.settings.coordinator, "init")
        self.names = [f"{name}-{number}" for number in range(participants)]
        parts = divide(generate_transactions(1_200, FEATURES, 0.15, 3), participants, 5.0, 3)
        for shop, part in zip(self.names, parts, strict=True):
            np.savez(folder / f"{shop}.npz", features=part.features, labels=part.labels)
            member: dict[str, Any] = {
                "key_file": str(folder / f"{shop}.key"),
                "store_url": f"sqlite:///{folder / shop}.db",
                "coordinator_fingerprint": self.identity.public.fingerprint,
                "allow_robust": True,
                "epsilon_max": PRIVACY.epsilon_max,
            }
            self._write(
                shop, {"retailer": shop, "federation": connection | {"participant": member}, "log": {"format": "text"}}
            )

    def configure(self, **rounds: Any) -> None:
        """What a coordinator that is started from now on reads; settings of `rounds` that are not given are the first ones."""
        connection = self._document["federation"]
        self._write(
            "coordinator", self._document | {"federation": connection | {"rounds": connection["rounds"] | rounds}}
        )

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"

    def retailer(self, name: str) -> Settings:
        return parse(yaml.safe_load(self.file(name).read_text()), where=name)

    def call(self, *arguments: str) -> str:
        done = forked.tillguard("federation", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def enrol_all(self) -> None:
        """Everyone asks and is approved, through the same functions as the commands."""
        for shop in self.names:
            own = self.retailer(shop).federation
            public = keys.make_identity(shop, own.participant)
            root.enrol(own, keys.load_identity(own.participant, "enrol"))
            self.order(Order(action="approve", participant=shop, fingerprint=public.fingerprint))

    def order(self, order: Order) -> None:
        root.give_order(self.settings, self.identity, order)

    def start_coordinator(self) -> None:
        self._start("coordinator", "run", "--config", str(self.file("coordinator")), "--on-orders")

    def start_dying_coordinator(self, round_number: int, kind: str, moment: str) -> None:
        """A coordinator that is killed with -9 at an exact place: `before`, `during` or `after` the append that says `kind`."""
        self._spawn(
            "coordinator", str(DYING), str(self.file("coordinator")), str(round_number), kind, moment,
        )  # fmt: skip

    def await_death(self, name: str) -> None:
        """The process was killed with -9."""
        assert self.running.pop(name).wait(DEADLINE_S) == -signal.SIGKILL, self.logs()

    def start(self, shop: str) -> None:
        self._spawn(shop, str(PARTICIPANT), str(self.file(shop)), str(self.folder / f"{shop}.npz"))

    def start_dying(self, shop: str, kind: str, moment: str) -> None:
        """In the place of the participant one that is killed with -9 at its next message KIND, or in its next training."""
        self.kill(shop)
        data = str(self.folder / f"{shop}.npz")
        self._spawn(shop, str(DYING_PARTICIPANT), str(self.file(shop)), data, kind, moment)

    def await_deaths(self, *shops: str) -> dict[str, Heading]:
        """Orders round after round until all of these were killed; gives at what. The last round may be under way."""
        deadline, number = time.monotonic() + DEADLINE_S, len(list_rounds(self.told().entries))
        while any(self.running[shop].poll() is None for shop in shops):
            self._check_alive(except_for=shops)
            assert time.monotonic() < deadline, f"{shops} were not killed; {self.logs()}"
            # Who is seen alive after the round's end did not die in it, so that no round is ordered which nobody awaits.
            if ended(self.told(), number) and any(self.running[shop].poll() is None for shop in shops):
                self.order(Order(action="run", rounds=1))
                number += 1
            time.sleep(LOOK_AGAIN_S)
        for shop in shops:
            self.await_death(shop)
        return {shop: last_words((self.folder / f"{shop}.log").read_text()) for shop in shops}

    def sent(self) -> list[Heading]:
        """What stands on the updates log, read again."""
        return headings_of(self.records("updates"))

    def records(self, *logs: LogName) -> list[bytes]:
        """Everything that stands on these logs, on all of them where none is named; read again."""
        transport, found = KafkaTransport(self.settings, "reader"), []
        bounds = {log: transport.find_bounds(log) for log in logs or LOGS}
        try:
            transport.read_from({log: first for log, (first, _) in bounds.items()})
            while not all(transport.has_caught_up(log, end) for log, (_, end) in bounds.items()):
                found += [record.value for record in transport.poll(1.0)]
        finally:
            transport.close()
        return found

    def secrets(self) -> list[bytes]:
        """The two seeds of everyone's keys, and the passphrase next to them."""
        owners: list[keys.Keys] = [
            self.settings.coordinator,
            *(self.retailer(shop).federation.participant for shop in self.names),
        ]
        found = [keys.read_passphrase(owner) for owner in owners]
        for owner in owners:
            seeds = keys.load_identity(owner, "init")._seeds
            found += [seeds[: len(seeds) // 2], seeds[len(seeds) // 2 :]]
        return found

    def spends_of(self, shop: str) -> list[tuple[int, int]]:
        """Round and attempt of each spend that the participant has on its disk."""
        return [
            (one.spend.round, one.spend.attempt)
            for one in root.read_participant_state(self.retailer(shop).federation, shop).spends
        ]

    def kill(self, name: str) -> None:
        """SIGKILL; the process has ended on return."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        if self._transport is not None:
            self._transport.close()
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for name, process in self.running.items():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"{name} did not end when asked") from None
        self.running.clear()

    def told(self) -> History:
        if self._reader is None:
            self._transport = KafkaTransport(self.settings, "reader")
            self._reader = LogReader(self._transport, self.name, self.identity.public.fingerprint)
        told = self._reader.read()
        plans = [entry for entry in told.entries if entry.kind == "plan"]
        if len(plans) != len(self._account.spends):
            account = rebuild_privacy_ledger(plans, PRIVACY)
            assert account.spends[: len(self._account.spends)] == self._account.spends, "no spend is ever taken back"
            assert account.compute_epsilon() >= self._account.compute_epsilon(), "the privacy ledger never goes down"
            self._account = account
        assert len(plans) == len(self._account.spends), "one spend for each plan"
        return told

    def await_told(self, reached: Callable[[History], bool], what: str) -> History:
        """Reads the logs until they say so."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            self._check_alive()
            try:
                told = self.told()
            except TransientError:
                continue
            if reached(told):
                return told
            time.sleep(LOOK_AGAIN_S)
        raise AssertionError(f"{what} did not come; {self.logs()}")

    def await_logged(self, *words: str) -> None:
        """The coordinator's log has a line with all of them."""
        deadline = time.monotonic() + DEADLINE_S
        while not any(
            all(word in line for word in words) for line in (self.folder / "coordinator.log").read_text().splitlines()
        ):
            self._check_alive()
            assert time.monotonic() < deadline, f"{words} were not logged; {self.logs()}"
            time.sleep(LOOK_AGAIN_S)

    def _check_alive(self, *, except_for: Sequence[str] = ()) -> None:
        dead = [name for name, one in self.running.items() if name not in except_for and one.poll() is not None]
        assert not dead, f"{dead} ended; {self.logs()}"

    def logs(self) -> str:
        return "\n".join(f"--- {file.name}\n{file.read_text()[-3000:]}" for file in sorted(self.folder.glob("*.log")))

    def _write(self, name: str, document: dict[str, Any]) -> None:
        self.file(name).write_text(yaml.safe_dump(document), encoding="utf-8")

    def _start(self, name: str, *arguments: str) -> None:
        self._spawn(name, "-m", "tillguard", "federation", *arguments)

    def _spawn(self, name: str, *arguments: str) -> None:
        self.running[name] = forked.start(arguments, log=self.folder / f"{name}.log")


def ended(told: History, number: int) -> bool:
    """Whether the round has a model, or was given up."""
    given_up = [entry for entry in of_round(told.entries, number, "failure") if decode_content(entry)["final"]]
    return bool(of_round(told.entries, number, "global_model") or given_up)
