"""The third act: three retailers that have seen different frauds learn together, next to one member that breaks the rules.

Everything runs as its users start it, each in a process of its own: the coordinator, three participants with their own settings,
keys and examples, and the saboteur. Only the telephone calls about fingerprints are made by this file.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from contract.errors import TransientError
from contract.federation.settings import FederationSettings
from contract.settings import CoordinatorFile, Settings, parse, parse_as
from demo import beginnings
from demo.children import Child, Children, DemoError
from demo.federation import adversary, members, results
from demo.federation.members import MEMBERS, Member, Prepared
from demo.view import Screen
from embedded.ledger import Endpoint
from federation.audit.history import History, LogReader, decode_content, list_rounds
from federation.transports.kafka_logs import KafkaTransport, build_topic_name
from federation.transports.ports import LOGS, Record
from runtime import atomic_file, yaml_document
from runtime.state_folder import find_retailer_folder
from tillguard.federation import root
from tillguard.federation.learner import CHOICE, format_lineage, get_shapes
from trainer.learning.judging import find_opponent
from trainer.model.run_onnx import compute_served_scores
from trainer.registry.registry import Registry

FEDERATION = "demo-federation"
BAD = "thorn"
ROUNDS = 3
PRIVATE_ROUNDS = 1
"""More, with noise for differential privacy: what it costs among so few."""
EPOCHS, BATCH, RATE = 4, 128, 2e-3
"""Of each round's training: few examples, so small batches."""
OWN_EPOCHS_MAX, GATE_FRAUDS_MIN = 8, 5
CLIP_NORM = 3.0
ROUND_SETTINGS: Mapping[str, Any] = {
    "cohort_min": len(MEMBERS),
    "attempts_max": 2,
    # One kind of round is enough to follow; rounds of statistics and calibration look the same on the wire.
    "statistics": False,
    "calibration_every": 0,
    "clip_norm": CLIP_NORM,
    "training": {"epochs": EPOCHS, "batch_size": BATCH, "learning_rate": RATE},
    # All four answer the first stage, and all three the last ones. Only the second waits for somebody who does not come.
    "keys": {"min_s": 240, "max_s": 300},
    "shares": {"min_s": 1, "max_s": 60},
    "updates": {"min_s": 60, "max_s": 60},
    "unmasking": {"min_s": 60, "max_s": 60},
}
PRIVACY = {"level": "client", "noise_multiplier": 1.0}
WAIT_MAX_S = 600.0
"""A step that takes longer has failed; on two cores each takes well below a minute."""
POLL_S = 0.2
LOOKED_EVERY_S = 1.0
TRAINER = "TILLGUARD_TRAINER__"
QUICK = {f"{TRAINER}EPOCHS_MAX": str(OWN_EPOCHS_MAX), f"{TRAINER}GATE_FRAUDS_MIN": str(GATE_FRAUDS_MIN)}
"""For small histories: a trainer's own learning is short, and the gate decides on fewer frauds."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What the act is played on."""

    endpoints: Mapping[str, Endpoint]
    children: Children
    screen: Screen
    check: Callable[[], None]
    """Raises DemoError where a process or a server has failed."""
    state: Path
    seed: int


class ThirdAct:
    """Played once."""

    def __init__(self, stage: Stage) -> None:
        self._on = stage
        self._folder = stage.state / FEDERATION
        self._settings: dict[str, Settings] = {}
        self._prepared: dict[str, Prepared] = {}
        self._coordinator: FederationSettings
        self._fingerprint = ""
        self._looked_s = 0.0

    def play(self) -> results.Course:
        """All of it; returns how it went. Raises DemoError, which names the log to look at."""
        with self._on.screen.show_step("third act: three other retailers, each learns alone"):
            self._begin()
            self._learn_alone()
        before = {name: self._scores(name) for name in self._settings}
        for name, prepared in self._prepared.items():
            members.store(self._settings[name], prepared.new)
        with self._on.screen.show_step(f"they learn together, next to {BAD}, who breaks the rules"):
            bad = self._learn_together()
        with self._on.screen.show_step("verify the ledger, measure on sales kept back"):
            # Anybody who takes part can do this; here the newcomer does.
            audit = self._start("audit", ["federation", "audit", "--retailer", MEMBERS[-1].name])
            self._ended([audit], "the audit")
            return self._course(before, adversary.count_sent(bad.log.read_text(encoding="utf-8", errors="replace")))

    def _begin(self) -> None:
        """Settings, keys and examples of everybody; the coordinator's come first, for its fingerprint."""
        names = [member.name for member in MEMBERS]
        rmtree(self._folder, ignore_errors=True)
        beginnings.delete_topics({build_topic_name(FEDERATION, log) for log in LOGS}, self._on.endpoints["kafka"])
        self._write_coordinator()
        init = self._start("coordinator-init", ["federation", "init", "--config", str(self._file("coordinator"))])
        for settings in beginnings.begin(names, self._on.endpoints):
            self._settings[settings.retailer] = settings
        self._on.screen.show_detail("their sales of four weeks")
        now = datetime.now(UTC).replace(microsecond=0)
        for place, member in enumerate(MEMBERS):
            settings = self._settings[member.name]
            prepared = members.prepare(settings, members.simulate_past(member, place, self._on.seed, now), now)
            members.store(settings, prepared.old)
            self._prepared[member.name] = prepared
        self._ended([init], "the coordinator's keys")
        self._fingerprint = _last_word(init, "coordinator fingerprint")
        for name in names:
            self._settings[name] = self._with_federation(name)
        self._write(BAD, {"retailer": BAD, **self._participant(BAD, self._folder)})

    def _learn_alone(self) -> None:
        """Each trains on what it has seen; meanwhile all enrol, and are approved by the fingerprints that they say."""
        trainings = [
            self._start(f"{name}-train", ["trainer", "run", "--once", "--retailer", name], QUICK)
            for name in self._settings
        ]
        enrolments = {
            name: self._start(f"{name}-enrol", ["federation", "enrol", *self._whose(name)])
            for name in (*self._settings, BAD)
        }
        self._on.screen.show_detail("each trains a model of its own; all enrol in the federation")
        self._ended(list(enrolments.values()), "the enrolments")
        for name, child in enrolments.items():
            # One after the other, as an operator does at the telephone; no coordinator runs yet that could answer.
            words = ["approve", name, "--fingerprint", _last_word(child, "fingerprint"), "--wait", "0"]
            arguments = ["federation", "participants", *words, "--config", str(self._file("coordinator"))]
            self._ended([self._start(f"{name}-approve", arguments)], "an approval")
        self._ended(trainings, "the first models")

    def _learn_together(self) -> Child:
        """The rounds. Returns the bad member's process."""
        for name in self._settings:
            self._start(f"{name}-federation", ["federation", "run", "--retailer", name], QUICK)
        bad = self._on.children.start(f"act3-{BAD}", [str(self._file(BAD))], module="demo.federation.adversary")
        with _logs(self._coordinator) as transport:
            reader = LogReader(transport, FEDERATION, self._fingerprint)
            self._rounds("coordinator", ROUNDS, reader)
            self._rounds("coordinator-private", PRIVATE_ROUNDS, reader)
        return bad

    def _rounds(self, file: str, count: int, reader: LogReader) -> None:
        """`count` more under these settings of the coordinator's, until each retailer has decided on the newest model."""
        arguments = ["federation", "run", "--config", str(self._file(file)), "--rounds", str(count)]
        coordinator = self._start(file, arguments)
        self._until(lambda: self._over(coordinator, reader), f"{count} rounds")
        newest = max(_versions(reader.read()), default=0)
        self._on.screen.show_detail("each compares the common model with its own")
        self._until(
            lambda: all(
                root.read_decided_version(settings.federation, name) >= newest
                for name, settings in self._settings.items()
            ),
            "the retailers' decisions",
        )

    def _over(self, coordinator: Child, reader: LogReader) -> bool:
        if time.monotonic() - self._looked_s > LOOKED_EVERY_S:
            self._looked_s = time.monotonic()
            with suppress(TransientError):
                self._on.screen.show_detail(_progress(reader.read()))
        return self._on.children.has_ended(coordinator)

    def _course(self, before: Mapping[str, NDArray[np.floating]], attacks: Mapping[str, int]) -> results.Course:
        with _logs(self._coordinator) as transport:
            told = LogReader(transport, FEDERATION, self._fingerprint).read()
        with _logs(self._coordinator) as transport:
            records = _everything(transport)
        courses = [self._of(member, before[member.name], told) for member in MEMBERS]
        parameters = sum(math.prod(tensor.shape) for tensor in get_shapes())
        return results.Course(FEDERATION, courses, told, records, BAD, attacks, parameters)

    def _of(self, member: Member, before: NDArray[np.floating], told: History) -> results.MemberCourse:
        prepared, settings = self._prepared[member.name], self._settings[member.name]
        learned = [*prepared.old.sales, *prepared.new.sales]
        with _registry(settings) as registry:
            entries = {entry.manifest.base: entry for entry in registry.list_models(member.name)}
            made = {version: entries.get(format_lineage(FEDERATION, version)) for version in _versions(told)}
            choices = {
                version: "local" if entry is None else str(entry.manifest.parameters[CHOICE])
                for version, entry in made.items()
            }
            serving = [each.model_version for each in registry.list_promotions(member.name) if each.confirmed]
        return results.MemberCourse(
            member,
            examples=len(learned),
            frauds=sum(entry.truth.fraud for entry in learned),
            measured=results.Measured(before, self._scores(member.name), prepared.later.kinds),
            choices=choices,
            models=(serving[-1], serving[0]),
        )

    def _scores(self, name: str) -> NDArray[np.float64]:
        """Of the sales that `name` kept back, by the model that serves there."""
        with _registry(self._settings[name]) as registry:
            package = find_opponent(self._settings[name], registry).package
        if package is None:
            raise DemoError(f"{name} has no model in service; see {self._on.state / 'logs' / 'demo'}")
        return compute_served_scores(package.onnx, self._prepared[name].later.features)

    def _write_coordinator(self) -> None:
        own = {
            "key_file": str(self._folder / "coordinator.key"),
            "store_url": f"sqlite:///{self._folder / 'coordinator.db'}",
            "model_file": str(self._folder / "model.npz"),
        }
        section = {**self._connection(), "coordinator": own}
        document = {"federation": {**section, "rounds": ROUND_SETTINGS}}
        self._write("coordinator", document)
        self._write(
            "coordinator-private", {"federation": {**section, "rounds": {**ROUND_SETTINGS, "privacy": PRIVACY}}}
        )
        self._coordinator = parse_as(CoordinatorFile, document, where="coordinator").federation

    def _connection(self) -> dict[str, object]:
        return {"bootstrap_servers": self._on.endpoints["kafka"].uri, "name": FEDERATION}

    def _participant(self, name: str, folder: Path) -> dict[str, object]:
        """The section that a retailer adds to its settings to take part."""
        own = {
            "key_file": str(folder / f"{name}.key"),
            "store_url": f"sqlite:///{folder / f'{name}-federation.db'}",
            "coordinator_fingerprint": self._fingerprint,
        }
        return {"federation": {**self._connection(), "participant": own}}

    def _with_federation(self, name: str) -> Settings:
        """Puts the section into the retailer's own settings file, instead of the one with which it was made."""
        file = find_retailer_folder(name) / "settings.yaml"
        document = yaml_document.load(file.read_text(encoding="utf-8"), str(file)) | self._participant(
            name, file.parent
        )
        _replace(file, yaml.safe_dump(document, sort_keys=False))
        return parse(document, where=str(file))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.yaml"

    def _write(self, name: str, document: Mapping[str, object]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _replace(self._file(name), yaml.safe_dump(dict(document), sort_keys=False))

    def _whose(self, name: str) -> list[str]:
        return ["--config", str(self._file(BAD))] if name == BAD else ["--retailer", name]

    def _start(self, name: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Child:
        return self._on.children.start(f"act3-{name}", arguments, environment)

    def _ended(self, children: Sequence[Child], what: str) -> None:
        self._until(lambda: all(self._on.children.has_ended(child) for child in children), what)

    def _until(self, done: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + WAIT_MAX_S
        while not done():
            self._on.check()
            if time.monotonic() > deadline_s:
                logs = self._on.state / "logs" / "demo"
                raise DemoError(f"{what}: nothing after {WAIT_MAX_S:.0f} s; the logs are {logs}/act3-*.log")
            time.sleep(POLL_S)


@contextmanager
def _logs(settings: FederationSettings) -> Iterator[KafkaTransport]:
    transport = KafkaTransport(settings, "reader")
    try:
        yield transport
    finally:
        transport.close()


@contextmanager
def _registry(settings: Settings) -> Iterator[Registry]:
    registry = Registry(settings.trainer.registry_url.get_secret_value(), settings.trainer.registry_directory)
    try:
        yield registry
    finally:
        registry.close()


def _everything(transport: KafkaTransport) -> list[Record]:
    """All four logs, to their present ends."""
    ends = {log: transport.find_bounds(log) for log in LOGS}
    transport.read_from({log: first for log, (first, _) in ends.items()})
    found: list[Record] = []
    while not all(transport.has_caught_up(log, end) for log, (_, end) in ends.items()):
        found += transport.poll(POLL_S)
    return found


def _versions(told: History) -> list[int]:
    """Of the global models that rounds made."""
    return [
        decode_content(entry)["model_version"] for entry in told.entries if entry.kind == "global_model" and entry.round
    ]


def _progress(told: History) -> str:
    """`round 2 of 4: they learn`."""
    lines = list_rounds(told.entries)
    if not lines:
        return "their programs start"
    said = [entry.kind for entry in told.entries if entry.round == lines[-1].round]
    doing = "they learn, each on its own data" if "key_list" not in said else "masked updates are added up"
    return f"round {lines[-1].round} of {ROUNDS + PRIVATE_ROUNDS}: {doing}"


def _last_word(child: Child, before: str) -> str:
    """What a command printed after `before`."""
    text = child.log.read_text(encoding="utf-8")
    found = next((line for line in text.splitlines() if line.startswith(f"{before} ")), None)
    if found is None:
        raise DemoError(f"{child.name} printed no `{before}`; its log: {child.log}")
    return found.removeprefix(before).strip()


def _replace(file: Path, text: str) -> None:
    """Whole, and for its owner's eyes only."""
    atomic_file.write(file, text.encode(), mode=0o600)
