"""Starts, stops, examines and (for tests) kills the servers of one state folder.

Only one process changes a state folder at a time (a file lock). Servers outlive the process that started them; what they are
stands in `stack.json`, and a server that nobody wrote down is found by the path that only it was given.
"""

import fcntl
import os
import platform
import random
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from embedded import ledger as ledgers
from embedded import logs
from embedded.artifacts import Report, find_default_cache, require_space, translate_write_errors
from embedded.errors import PrerequisiteError, ServiceFailedError, StackError
from embedded.kafka_server import KafkaServer
from embedded.ledger import Endpoint, Ledger, Record
from embedded.mariadb_server import MariadbServer
from embedded.mongo_server import MongoServer
from embedded.redis_server import RedisServer
from embedded.service import Launch, Place, Service
from runtime import ports, processes

SERVICES: dict[str, Service] = {
    service.name: service for service in (KafkaServer(), RedisServer(), MariadbServer(), MongoServer())
}
"""Every server, in the order of listings."""

State = Literal["running", "unresponsive", "crashed", "stopped"]

PROBE_TIMEOUT_S = 3.0
POLL_S = 0.05
UNRESPONSIVE_GRACE_S = 20.0
"""How long a running server that does not answer may still be starting before it is replaced."""
LOCK_WAIT_S = 600.0
INHERITED = ("PATH", "HOME", "TMPDIR", "PYTHONPATH")
"""What servers see of the caller's environment: nothing that could hold a secret of somebody else."""
FIXED = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
"""The same on every machine; Java needs the first to open a path that is not ASCII."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One server as it stands now."""

    name: str
    state: State
    pid: int | None
    endpoint: Endpoint | None
    log: str


class Stack:
    """The servers of one state folder. Cheap to make; nothing is touched before a method is called."""

    def __init__(
        self, folder: Path, *, cache: Path | None = None, report: Report = lambda _: None, die_with_parent: bool = False
    ) -> None:
        """Takes the state folder.

        Args:
            folder: holds stack.json, data and logs; made when missing.
            cache: programs shared between stacks; the user's cache folder unless given.
            report: takes one line of progress; may be called from several threads.
            die_with_parent: for tests: the kernel kills every server when the thread that started it ends.
        """
        self.folder = folder.absolute()
        self._file = self.folder / "stack.json"
        self._cache = cache or find_default_cache()
        self._report = report
        self._die_with_parent = die_with_parent

    @property
    def endpoints(self) -> dict[str, Endpoint]:
        """Addresses by service name, of all that were ever started here, running or not."""
        return {name: record.endpoint for name, record in ledgers.read(self._file).services.items()}

    def start(self, services: Iterable[str] = tuple(SERVICES)) -> dict[str, Endpoint]:
        """Makes `services` run and answer, and returns their endpoints; a server that already does is left alone.

        Blocks until each has answered in its own protocol. Raises PrerequisiteError when the machine lacks something,
        ServiceFailedError with the end of the log when a server does not come up; the others stay up.
        """
        wanted = [SERVICES[name] for name in _known(services)]
        _check_machine()
        with self._locked():
            processes.reap()
            due = [service for service in wanted if not self._is_serving(service)]
            require_space(self.folder, sum(service.space_bytes for service in due))
            self._launch(due)
            self._await(due)
        endpoints = self.endpoints
        return {service.name: endpoints[service.name] for service in wanted}

    def stop(self, services: Iterable[str] = tuple(SERVICES)) -> list[str]:
        """Ends `services` in an orderly way, by force past their time limit; returns the names of those that ran."""
        wanted = _known(services)
        if not self.folder.exists():
            return []
        with self._locked():
            running = [(SERVICES[name], process) for name in wanted for process in self._processes(SERVICES[name])]
            for _, process in running:
                processes.send(process, signal.SIGTERM)
            for service, process in running:
                self._ensure_ended(service, process)
            self._record(dict.fromkeys(wanted))
        return [service.name for service, _ in running]

    def kill(self, service: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to one server, for tests of crashes; after SIGKILL it has ended on return."""
        for process in self._processes(SERVICES[_known([service])[0]]):
            processes.send(process, number)
            if number == signal.SIGKILL and not processes.wait(process, 30.0):
                raise ServiceFailedError(f"{service}: process {process.pid} survived SIGKILL for 30 s")

    def restart(self, service: str) -> Endpoint:
        """Stops one server if it runs and starts it again, on the same port when that is still free."""
        self.stop([service])
        return self.start([service])[service]

    def check_status(self) -> list[ServiceStatus]:
        """Every server's state, after one exchange with each that runs; changes nothing."""
        records = ledgers.read(self._file).services
        return [self._status_of(SERVICES[name], records.get(name)) for name in SERVICES]

    def _status_of(self, service: Service, record: Record | None) -> ServiceStatus:
        if record is None:
            return ServiceStatus(service.name, "stopped", None, None, "")
        state: State = "stopped"
        if record.process is not None:
            running = processes.is_alive(record.process)
            state = "crashed" if not running else "running" if _answers(service, record.endpoint) else "unresponsive"
        pid = record.process.pid if record.process and state != "crashed" else None
        return ServiceStatus(service.name, state, pid, record.endpoint, record.log)

    def _place(self, service: Service) -> Place:
        return Place(self.folder / service.name, self.folder / "logs", self._cache, self._report)

    def _processes(self, service: Service) -> list[processes.Identity]:
        """The recorded process and any other that carries this server's marker, as far as they run."""
        record = ledgers.read(self._file).services.get(service.name)
        recorded = [record.process] if record and record.process and processes.is_alive(record.process) else []
        known = {process.pid for process in recorded}
        strays = [
            found for found in processes.find(service.make_marker(self._place(service))) if found.pid not in known
        ]
        return recorded + strays

    def _is_serving(self, service: Service) -> bool:
        """True for a server to be left alone; whatever else is there of it is ended."""
        record = ledgers.read(self._file).services.get(service.name)
        process = record.process if record else None
        if record and process and processes.is_alive(process):
            if _answers_within(service, record.endpoint, process, UNRESPONSIVE_GRACE_S):
                return True
            self._report(f"{service.name}: runs but does not answer; starting it again")
        elif process is not None:
            self._report(
                f"{service.name}: process {process.pid} has crashed or the machine was restarted; starting it again"
            )
        for stray in self._processes(service):
            processes.send(stray, signal.SIGTERM)
            self._ensure_ended(service, stray)
        return False

    def _ensure_ended(self, service: Service, process: processes.Identity) -> None:
        if processes.wait(process, service.stop_timeout_s):
            return
        self._report(f"{service.name}: did not stop within {service.stop_timeout_s:.0f} s; ending it by force")
        processes.send(process, signal.SIGKILL)
        if not processes.wait(process, 30.0):
            raise ServiceFailedError(f"{service.name}: process {process.pid} survived SIGKILL for 30 s")

    def _launch(self, due: Sequence[Service]) -> None:
        """Prepares in parallel; starts from this thread, since die_with_parent is bound to it."""
        if not due:
            return
        endpoints = self._assign_ports(due)
        with ThreadPoolExecutor(len(due)) as pool:
            prepared = {pool.submit(self._prepare, service, endpoints[service.name]): service for service in due}
            try:
                for done in as_completed(prepared):
                    service = prepared[done]
                    self._spawn(service, endpoints[service.name], done.result())
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _assign_ports(self, due: Sequence[Service]) -> dict[str, Endpoint]:
        """Keeps the ports of an earlier life where they are free, so that settings written then still hold."""
        known = self.endpoints
        taken = {endpoint.port for endpoint in known.values()}
        taken |= {endpoint.controller_port for endpoint in known.values() if endpoint.controller_port}
        chance = random.SystemRandom()
        assigned = {}
        for service in due:
            before = known.get(service.name)
            if before and not _ports_free(before):
                self._report(f"{service.name}: port {before.port} is taken by another program; choosing a new one")
                before = msgspec.structs.replace(before, port=0, controller_port=None)
            port = before.port if before and before.port else ports.choose(taken, chance)
            spare = ports.choose(taken | {port}, chance)
            assigned[service.name] = service.make_endpoint(port, spare, before)
            taken |= {port, spare}
        return assigned

    def _prepare(self, service: Service, endpoint: Endpoint) -> Launch:
        place = self._place(service)
        with translate_write_errors(place.folder):
            place.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            service.install(place)
            return service.configure(place, endpoint)

    def _spawn(self, service: Service, endpoint: Endpoint, launch: Launch) -> None:
        place = self._place(service)
        log = place.logs / f"{service.name}.log"
        with translate_write_errors(place.logs):
            place.logs.mkdir(exist_ok=True)
            logs.rotate(log)
        environment = (
            {name: os.environ[name] for name in INHERITED if name in os.environ} | FIXED | dict(launch.environment)
        )
        try:
            process = processes.spawn(
                launch.command, environment, log, place.folder, die_with_parent=self._die_with_parent
            )
        except OSError as error:
            end = logs.read_tail(place.logs, service.name)
            raise ServiceFailedError(
                f"{service.name} could not be started: {error}; the end of its log:\n{end}"
            ) from error
        self._record({service.name: Record(endpoint, process, str(log))})

    def _await(self, started: Sequence[Service]) -> None:
        records = ledgers.read(self._file).services
        begin = time.monotonic()
        for service in started:
            record = records[service.name]
            process = record.process
            left = begin + service.start_timeout_s - time.monotonic()
            if process is None or not _answers_within(service, record.endpoint, process, left):
                why = "did not answer in time" if process and processes.is_alive(process) else "ended while starting"
                end = logs.read_tail(self._place(service).logs, service.name)
                raise ServiceFailedError(f"{service.name} {why}; the end of its log:\n{end}")
            self._report(f"{service.name}: ready on {record.endpoint.host}:{record.endpoint.port}")

    def _record(self, changes: dict[str, Record | None]) -> None:
        """Writes new records, or forgets the process of those given as None."""
        services = dict(ledgers.read(self._file).services)
        for name, record in changes.items():
            if record is not None:
                services[name] = record
            elif name in services:
                services[name] = Record(services[name].endpoint, None, services[name].log)
        ordered = {name: services[name] for name in SERVICES if name in services}
        ledgers.write(self._file, Ledger(ordered))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with translate_write_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / "stack.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _acquire(self, descriptor: int) -> None:
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StackError(
                        f"another process has been changing {self.folder} for {LOCK_WAIT_S:.0f} s"
                    ) from None
            time.sleep(POLL_S)


def _known(services: Iterable[str]) -> list[str]:
    names = list(dict.fromkeys(services))
    unknown = [name for name in names if name not in SERVICES]
    if unknown:
        raise StackError(f"unknown service {', '.join(unknown)}; known are {', '.join(SERVICES)}")
    return names


def _check_machine() -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise PrerequisiteError(
            f"the embedded stack needs Linux on x86-64, this is {sys.platform} on {platform.machine()}; "
            "docker-compose.yml starts the same servers"
        )


def _ports_free(endpoint: Endpoint) -> bool:
    return ports.is_free(endpoint.port) and (
        endpoint.controller_port is None or ports.is_free(endpoint.controller_port)
    )


def _answers(service: Service, endpoint: Endpoint) -> bool:
    try:
        service.probe(endpoint, PROBE_TIMEOUT_S)
    except Exception:  # noqa: BLE001 - every driver has its own exceptions, and each means the same here
        return False
    return True


def _answers_within(service: Service, endpoint: Endpoint, process: processes.Identity, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while True:
        if _answers(service, endpoint):
            # Not somebody else's server on this port, while ours has ended.
            return processes.is_alive(process)
        if time.monotonic() > deadline or not processes.is_alive(process):
            return False
        time.sleep(POLL_S)
