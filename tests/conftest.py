"""Fixtures for every test: servers that start when first asked for, fresh retailers, and a seed that is printed.

TILLGUARD_TEST_STATE=<state folder> makes the tests use a stack that `tillguard up` started there, and leave it running.
TILLGUARD_TEST_SEED=<number> repeats a run's random choices.
"""

import gc
import os
import random
import secrets
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import pytest

from contract.settings import Settings, parse

# Machines are shared, so a slow example says nothing about the code; a failing one is printed so that it can be repeated.
# A run draws other examples than the run before, so a few of each a run are many in a week; `make test-slow` draws many at once.
hypothesis.settings.register_profile(
    "shared", deadline=None, print_blob=True, max_examples=30, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("thorough", hypothesis.settings.get_profile("shared"), max_examples=1_000)
# One example that fails is enough there, so none is made smaller.
hypothesis.settings.register_profile(
    "mutants",
    hypothesis.settings.get_profile("shared"),
    derandomize=True,
    print_blob=False,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
hypothesis.settings.load_profile(os.environ.get("TILLGUARD_TEST_PROFILE", "shared"))

# What is imported stays until the end, so the collector has nothing to find in it: it rests until the tests begin.
gc.disable()


def pytest_collection_finish() -> None:
    """The collector begins its work, and looks at what the tests make alone: no longer at every module with each of its rounds."""
    gc.collect()
    gc.freeze()
    gc.enable()
    _build_commands_once()


def _build_commands_once() -> None:
    """Typer makes its hundred commands again for every call, which takes longer than most of them."""
    for name in ("typer.main.get_command", "typer.testing._get_command"):
        module, _, function = name.rpartition(".")
        if module in sys.modules:
            setattr(sys.modules[module], function, cache(getattr(sys.modules[module], function)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that set a time limit of their own come first, the longest before the others: theirs are the long tests, and no process
    is left with such a file when the other has nothing more to do."""
    longest: dict[Path, float] = {}
    for item in items:
        mark = item.get_closest_marker("timeout")
        longest[item.path] = max(longest.get(item.path, 0.0), mark.args[0] if mark else 0.0)
    items.sort(key=lambda item: -longest[item.path])


class _Endpoints(Mapping[str, Any]):
    """Addresses of servers; asking for one starts it."""

    def __init__(self, stack: Any) -> None:
        self._stack = stack
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known |= self._stack.start([name])
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        from embedded.stack import SERVICES

        return iter(SERVICES)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def forget(self) -> None:
        """The next question starts again what was stopped."""
        self._known.clear()


class SuiteStack:
    """The servers of this test run. `endpoints["redis"]` starts Redis if it does not run yet, and no other."""

    def __init__(self, folder: Path, *, owned: bool) -> None:
        from embedded.stack import Stack

        self.folder = folder
        self.inner = Stack(folder, report=print, die_with_parent=owned)
        self.endpoints = _Endpoints(self.inner)

    def kill(self, service: str) -> None:
        """SIGKILL; the server has ended on return."""
        self.inner.kill(service)

    def restart(self, service: str) -> Any:
        """Ends the server if it runs, starts it, and returns its endpoint (the same, unless another program took the port)."""
        self.endpoints.forget()
        return self.inner.restart(service)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteStack]:
    """Kafka, Redis, MariaDB and the Mongo wire server for the whole run, each started when first asked for."""
    chosen = os.environ.get("TILLGUARD_TEST_STATE")
    suite = SuiteStack(Path(chosen) if chosen else tmp_path_factory.mktemp("stack"), owned=not chosen)
    try:
        yield suite
    finally:
        if not chosen:
            suite.inner.stop()


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[SuiteStack]:
    """A stack that the test may kill and break as it likes."""
    suite = SuiteStack(tmp_path / "stack", owned=True)
    try:
        yield suite
    finally:
        suite.inner.stop()


@pytest.fixture(scope="session")
def mysql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real MySQL server for the whole run, in GTID mode with full row images and names; see support.debian_mysql.

    Other tests use it too: take a database of your own, and leave global variables as they were.
    """
    from support.debian_mysql import UnavailableError, started

    try:
        with started(tmp_path_factory.mktemp("mysql") / "data") as server:
            yield server
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def redis_url(stack: SuiteStack) -> str:
    """redis://… of the suite's Redis; starts nothing else."""
    return str(stack.endpoints["redis"].uri)


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[Any]:
    """A client of the suite's Redis that answers in bytes. Other tests use the same database: take a retailer of your own."""
    import redis

    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def retailer_name() -> str:
    """A name that no other test has."""
    return f"shop-{secrets.token_hex(6)}"


def settings_document(name: str, folder: Path, endpoints: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a retailer on the suite's Kafka and Redis, its files in `folder`; starts these two."""
    redis_server = endpoints["redis"]
    return {
        "retailer": name,
        "kafka": {"bootstrap_servers": endpoints["kafka"].uri, "partitions": 4, "session_timeout_s": 3},
        "redis": {"host": redis_server.host, "port": redis_server.port, "password": redis_server.password},
        "connectors": {
            "positions_url": f"sqlite:///{folder / 'positions.db'}",
            "token_keys": {"k1": secrets.token_hex(16)},
            "token_key_id": "k1",
        },
        "scoring": {"model_directory": str(folder / "models"), "web_port": 0},
        "trainer": {
            "registry_url": f"sqlite:///{folder / 'registry.db'}",
            "registry_directory": str(folder / "registry"),
            "examples_url": f"sqlite:///{folder / 'examples.db'}",
            "web_port": 0,
        },
        "log": {"format": "text"},
    }


class FreshRetailer(NamedTuple):
    """A retailer nobody else uses, its topics made; `file` holds the settings for processes that read them."""

    name: str
    settings: Settings
    file: Path


@pytest.fixture
def retailer(stack: SuiteStack, retailer_name: str, tmp_path: Path) -> FreshRetailer:
    """A fresh retailer on the suite's Kafka and Redis, with topics of four partitions."""
    import yaml

    from runtime.kafka import topics

    folder = tmp_path / retailer_name
    folder.mkdir()
    document = settings_document(retailer_name, folder, stack.endpoints)
    file = folder / "settings.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    settings = parse(document, where=str(file))
    topics.ensure(settings)
    return FreshRetailer(retailer_name, settings, file)


@pytest.fixture
def seed() -> int:
    """Drawn afresh for every test unless TILLGUARD_TEST_SEED is set; shown when the test fails."""
    chosen = int(os.environ.get("TILLGUARD_TEST_SEED") or secrets.randbelow(1 << 31))
    sys.stdout.write(f"TILLGUARD_TEST_SEED={chosen}\n")
    return chosen


@pytest.fixture
def chance(seed: int) -> random.Random:
    """Random choices that `seed` repeats."""
    return random.Random(seed)
