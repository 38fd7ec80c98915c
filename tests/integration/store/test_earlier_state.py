"""What an earlier version kept in Redis is read and continued. `tests/golden/state-v1/README.md` tells how it was made."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from contract.settings import Settings
from contract.verdicts import Verdict
from contract.windows import HOUR_MS
from scoring.engine.coverage import Coverage
from scoring.ports import Applied, WindowUpdate
from scoring.store.client import RedisClient
from scoring.store.coverage import read_coverage
from scoring.store.redis_store import RedisStore
from support.cases import new_case
from support.window_updates import window_update
from tillguard.wiring.stores import make_case_store

pytestmark = pytest.mark.integration
FILE = Path(__file__).parents[2] / "golden" / "state-v1" / "redis.msgpack"
LIFETIME_MS = 86_400_000


@pytest.fixture
def earlier(redis_client: Any, settings: Settings) -> dict[str, Any]:
    """The keys of that version as this test's retailer's; gives what it answered."""
    told = dict(msgspec.msgpack.decode(FILE.read_bytes(), strict=False))
    for key, value in told.pop("keys").items():
        redis_client.restore(key.replace(b"{shop}", f"{{{settings.retailer}}}".encode()), LIFETIME_MS, value)
    return told


def sale(number: int, digest: bytes = b"digest-1") -> WindowUpdate:
    entities: dict[str, Any] = {
        "card": f"k1:card-{number % 3}",
        "customer": f"c-{number % 4}",
        "device": f"d-{number % 2}",
    }
    return window_update(f"t-{number}", number * 7 * HOUR_MS, 100 + 10 * number, digest=digest, **entities)


def assert_same(found: Applied, told: dict[str, Any]) -> None:
    assert found.applied_seq.tolist() == told["applied_seq"]
    assert found.first.tolist() == told["first"]
    assert (found.model_versions, found.rules_versions) == (told["model_versions"], told["rules_versions"])
    np.testing.assert_array_equal(found.aggregates, np.array(told["aggregates"], dtype=np.float64))


def test_known_transactions_get_the_same_answer_and_new_ones_are_counted_after_them(
    earlier: dict[str, Any], open_store: Callable[..., RedisStore]
) -> None:
    store = open_store()
    assert_same(store.send([sale(number) for number in range(30)], "m-2", "r-2").wait(20.0), earlier["again"])
    assert store.send([sale(5, b"digest-2")], "m-2", "r-2").wait(20.0).conflict.tolist() == [True]
    assert_same(store.send([sale(number) for number in range(30, 33)], "m-2", "r-2").wait(20.0), earlier["new"])


def test_cases_stand_with_their_first_answer_and_holds_expire(earlier: dict[str, Any], settings: Settings) -> None:
    cases = make_case_store(settings)
    try:
        case = cases.get("t-29")
        assert case is not None
        assert (case.revision, case.verdict) == (1, earlier["verdict"])
        (answer,) = cases.open([new_case("t-29", "another")])
        assert answer.verdict == earlier["verdict"]
        assert answer.decision == msgspec.json.decode(earlier["verdict"], type=Verdict).decision
        assert [one.transaction_id for one in cases.list_expired(datetime(2026, 11, 3, tzinfo=UTC), 9)] == ["t-29"]
    finally:
        cases.stop()


def test_what_the_live_state_covers_is_known(earlier: dict[str, Any], settings: Settings) -> None:
    with closing(RedisClient(settings.redis)) as client:
        assert read_coverage(client, settings.retailer) == Coverage(*earlier["coverage"])
