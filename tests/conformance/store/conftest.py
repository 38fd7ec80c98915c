from collections.abc import Iterator
from typing import Any

import pytest

from contract.settings import Settings, parse
from scoring.ports import CaseStore, WindowStore
from support.memory_store import MemoryCases, MemoryStore
from tillguard.wiring.stores import make_case_store, make_window_store

KINDS = ["memory", pytest.param("redis", marks=pytest.mark.integration)]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def redis_settings(request: pytest.FixtureRequest, kind: str, retailer_name: str) -> Settings | None:
    if kind == "memory":
        return None
    endpoint: Any = request.getfixturevalue("stack").endpoints["redis"]
    server = {"host": endpoint.host, "port": endpoint.port, "password": endpoint.password, "timeout_s": 5}
    return parse({"retailer": retailer_name, "redis": server}, where="test")


@pytest.fixture
def store(redis_settings: Settings | None) -> Iterator[WindowStore]:
    if redis_settings is None:
        yield MemoryStore()
        return
    opened = make_window_store(redis_settings)
    yield opened
    opened.close()


@pytest.fixture
def cases(redis_settings: Settings | None) -> Iterator[CaseStore]:
    if redis_settings is None:
        yield MemoryCases()
        return
    opened = make_case_store(redis_settings)
    yield opened
    opened.stop()
