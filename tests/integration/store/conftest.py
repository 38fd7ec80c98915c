from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from contract.settings import Settings, parse
from scoring.store.keys import Keys
from scoring.store.redis_store import RedisStore
from tillguard.wiring.stores import make_window_store


@pytest.fixture(scope="module")
def server(stack: Any) -> dict[str, Any]:
    """How to reach the suite's Redis, as settings."""
    endpoint = stack.endpoints["redis"]
    return {"host": endpoint.host, "port": endpoint.port, "password": endpoint.password, "timeout_s": 5}


@pytest.fixture
def settings(server: dict[str, Any], retailer_name: str) -> Settings:
    return parse({"retailer": retailer_name, "redis": server}, where="test")


@pytest.fixture
def keys(retailer_name: str) -> Keys:
    return Keys(retailer_name)


@pytest.fixture
def open_store(settings: Settings) -> Iterator[Callable[..., RedisStore]]:
    """Makes stores of a retailer nobody else uses, and closes them."""
    opened: list[RedisStore] = []

    def make(**options: Any) -> RedisStore:
        opened.append(make_window_store(settings, **options))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def fresh_namespace() -> Callable[[], str]:
    numbers = count()
    return lambda: f"test:{next(numbers)}"
