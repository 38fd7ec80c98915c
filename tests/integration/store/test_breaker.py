"""The breaker on a real Redis: the same as the reference, step by step, and one for all workers."""

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from contract.settings import Settings, parse
from scoring.decision.breaker import CLOSES_AFTER_MS, Limits, Occurrence
from scoring.store.breaker import LEASE_MS, RedisBreaker
from scoring.store.client import RedisClient
from scoring.store.keys import Keys
from support.breaker import Breaker
from support.cases import answer, new_case
from tillguard.wiring.stores import make_case_store

pytestmark = pytest.mark.integration
SETTINGS = [
    {"per_minute_max": 5, "share_max": "off"},
    {"per_minute_max": "off", "share_max": 0.15, "share_window_s": 100, "share_min_transactions": 20},
    {"per_minute_max": 12, "share_max": 0.3, "share_window_s": 33.3, "share_min_transactions": 5},
    {"per_minute_max": 0},
]


class Site:
    """Cases and breaker of one retailer, with a clock in hand; more of them are other workers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.now_ms = 1_790_000_000_000
        self.cases = make_case_store(settings, now_ms=lambda: self.now_ms)
        self.breaker = RedisBreaker(RedisClient(settings.redis), Keys(settings.retailer), now_ms=lambda: self.now_ms)
        self.count = 0

    def stop(self, *, passed: int = 0) -> bool:
        """One more would-be stop; whether it was granted."""
        self.count += 1
        case = new_case(f"t-{self.count}", "wanted", otherwise="otherwise")
        return self.cases.open([case], passed) == [answer("wanted")]

    def close(self) -> None:
        self.cases.stop()
        self.breaker.close()


@pytest.fixture
def site(stack: Any, retailer_name: str) -> Iterator[Callable[..., Site]]:
    endpoint = stack.endpoints["redis"]
    server = {"host": endpoint.host, "port": endpoint.port, "password": endpoint.password, "timeout_s": 5}
    made: list[Site] = []

    def make(**breaker: Any) -> Site:
        document = {"retailer": retailer_name, "redis": server, "scoring": {"breaker": breaker}}
        made.append(Site(parse(document, where="test")))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def raw(stack: Any) -> Iterator[redis.Redis]:
    endpoint = stack.endpoints["redis"]
    client = redis.Redis(endpoint.host, endpoint.port, password=endpoint.password)
    yield client
    client.close()


@pytest.mark.parametrize("limits", SETTINGS)
def test_redis_grants_refuses_opens_and_closes_as_the_reference_does(
    site: Callable[..., Site], limits: dict[str, Any], chance: random.Random
) -> None:
    given = site(**limits)
    reference = Breaker(Limits.from_settings(given.settings.scoring.breaker))
    told: list[Occurrence] = []
    for number in range(600):
        any_steps = [0, 1, 50, 900, 4_000, 30_000 if chance.random() < 0.2 else 0]
        given.now_ms += chance.choice(
            any_steps if number % 100 < 50 else [0, 0, 0, 10_000, 20_000]
        )  # these meet at edges
        match chance.choice(["stop", "stop", "stop", "passed", "look"]):
            case "stop":
                passed = chance.choice([0, 0, 7])
                if passed:
                    reference.passed(passed, given.now_ms)
                assert given.stop(passed=passed) == reference.admits(given.now_ms)
            case "passed":
                count = chance.randrange(1, 20)
                given.cases.count_passed(count)
                reference.passed(count, given.now_ms)
            case _:
                is_open, untold = given.breaker.look()
                assert is_open == reference.look(given.now_ms)
                given.breaker.note_told(untold)
                told += untold
    assert told == reference.occurrences[: len(told)]
    assert {found.kind for found in told} >= {"open"}


def test_a_transaction_asks_once_and_is_told_the_same_ever_after(site: Callable[..., Site]) -> None:
    given = site(per_minute_max=1, share_max="off")
    cases = [new_case(name, f"wanted {name}", otherwise=f"otherwise {name}") for name in ("a", "b")]
    stands = [answer("wanted a"), answer("otherwise b", "flag")]
    for _ in range(5):
        assert given.cases.open(cases) == stands
    given.now_ms += 600_000
    assert given.cases.open(cases) == stands
    assert given.breaker.look()[0] is False
    assert given.cases.open([new_case("b", "now wanted")]) == stands[1:]
    found = given.cases.get("b")
    assert found is not None
    assert (found.verdict, found.open_until) == (stands[1].verdict, None)


def test_the_limits_hold_for_all_workers_of_a_retailer_together(site: Callable[..., Site]) -> None:
    """By the clock of Redis, as in service."""
    workers = [make_case_store(site(per_minute_max=50, share_max="off").settings) for _ in range(4)]
    granted = [0] * len(workers)

    def work(place: int) -> None:
        for number in range(10):
            cases = [new_case(f"w{place}-{number}-{i}", "wanted", otherwise="otherwise") for i in range(5)]
            granted[place] += workers[place].open(cases).count(answer("wanted"))

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(workers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for worker in workers:
        worker.stop()
    assert sum(granted) == 50


def test_an_occurrence_is_given_to_one_worker_until_it_is_told_or_that_worker_is_gone(
    site: Callable[..., Site],
) -> None:
    first, second = (site(per_minute_max=0, share_max="off") for _ in range(2))
    first.stop()
    opened = [Occurrence("open", first.now_ms, first.now_ms, "per_minute", 0, 0)]
    assert first.breaker.look() == (True, opened)
    assert second.breaker.look() == (True, [])
    first.now_ms = second.now_ms = first.now_ms + LEASE_MS  # the first one died
    assert second.breaker.look() == (True, opened)
    second.breaker.note_told(opened)
    first.now_ms += CLOSES_AFTER_MS
    is_open, untold = first.breaker.look()
    assert (is_open, [found.kind for found in untold]) == (False, ["closed"])


def test_a_server_that_forgot_its_scripts_is_given_them_again(site: Callable[..., Site], raw: redis.Redis) -> None:
    given = site(per_minute_max=2, share_max=0.5, share_min_transactions=4)
    assert given.stop()
    raw.script_flush()
    assert given.stop(passed=4)
    assert not given.stop()


def test_counts_of_other_settings_age_and_nothing_stays_for_ever(site: Callable[..., Site], raw: redis.Redis) -> None:
    before, after = site(share_window_s=60), site(share_window_s=200)
    after.count = 1_000
    before.stop(passed=40)
    after.now_ms += 30_000
    after.stop(passed=7)
    keys = Keys(before.settings.retailer)
    assert len(raw.hgetall(keys.breaker)) == 4
    after.now_ms += 250_000
    after.stop()
    assert len(raw.hgetall(keys.breaker)) == 1
    assert all(0 < raw.pttl(key) <= 86_400_000 for key in (keys.breaker, keys.stops))
