"""Cost of the window store: `python -m bench.scoring.windows [--quick] [--json FILE]`.

Starts a Redis of its own. The script is measured with filled windows, with batches in flight and commands packed beforehand,
so that the client's cost is not in it; the baseline is a script that only returns, called with the same arguments in the same
run. `INFO commandstats` gives the script's time per call as Redis itself counts it. Each figure is taken in ten rounds: the
median says what this machine did, the best round what the script costs, since other work on a machine can only add time;
targets are held against the best, and growth against the server's processor time.
"""

import argparse
import gc
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import redis

from bench.table import Row, print_table, write_json
from contract.risk import count_horizon_tiles
from contract.settings import RedisSettings
from contract.windows import DAY_MS
from scoring.ports import WindowUpdate
from scoring.store.keys import Keys
from scoring.store.link import RedisLink, encode_command
from scoring.store.scripts import compute_sha1, load_script
from scoring.store.window_updates import Bounds, ReplyReader, WindowUpdatePacker
from tillguard.history.private_redis import find_redis_server, start_private_redis

SEED = 7
BATCH = 256
IN_FLIGHT = 4
BOUNDS = Bounds(
    idle_s=31 * 86_400,
    sight_s=4 * 86_400,
    max_events=1024,
    max_counterparts=64,
    label_delay_s=7 * 86_400,
    horizon_tiles=count_horizon_tiles(7),
)
START_MS = 1_790_000_000_000
ROUNDS = 10
TARGET_EVENTS = 300
TARGET_PER_S = 12_000
TARGET_US = 75.0
CLIENT_TARGET_US = 12.0
SINGLE_TARGET_BYTES = 400
BARE = "return 1"


class Shop:
    """Seeded window updates that name five entities; `groups` of each kind get `per_day` events a day, forever."""

    def __init__(self, name: str, groups: int, per_day: int) -> None:
        self._random = random.Random(f"{SEED}-{name}")
        self._name = name
        self._groups = groups
        self._step_ms = DAY_MS / (groups * per_day)
        self._count = 0

    def take_window_updates(self, count: int) -> list[WindowUpdate]:
        """The next `count` of them, in event-time order."""
        return [self._next() for _ in range(count)]

    def _next(self) -> WindowUpdate:
        self._count += 1
        group, draw = self._random.randrange(self._groups), self._random.random
        near = [f"{kind}-{(group + int(draw() * spread)) % self._groups:08d}-tok" for kind, spread in _KINDS]
        t = START_MS + int(self._count * self._step_ms)
        amount = int(draw() * 20_000)
        return WindowUpdate(f"{self._name}-{self._count:09d}", t, amount, (*near, None, None, None), None, b"01234567")


_KINDS = (("customer", 1), ("card", 3), ("device", 4), ("ip", 10), ("email", 1))


class Bench:
    """One Redis and one connection to it."""

    def __init__(self, settings: RedisSettings) -> None:
        self.client = redis.Redis(**settings.to_redis_py())
        windows = load_script("windows")
        self.sha, self.bare_sha = compute_sha1(windows), compute_sha1(BARE)
        loads = encode_command(b"SCRIPT", b"LOAD", windows.encode()) + encode_command(b"SCRIPT", b"LOAD", BARE.encode())
        self.link = RedisLink(settings.to_redis_py() | {"socket_timeout": 60}, loads, 2)

    def make_packer(self, *, bare: bool = False) -> WindowUpdatePacker:
        """Makes commands for windows.lua, or for the script that only returns."""
        return WindowUpdatePacker(Keys("bench"), self.bare_sha if bare else self.sha, BOUNDS)

    def apply(self, window_updates: Sequence[WindowUpdate], packer: WindowUpdatePacker) -> float:
        """Runs them, several batches in flight; events per second without the packing."""
        shared = packer.pack_shared(int(time.time()), "m-2026-11-01", "r-2026-11-01")
        commands = packer.pack(window_updates, shared)
        batches = [b"".join(commands[i : i + BATCH]) for i in range(0, len(commands), BATCH)]
        sizes = [len(commands[i : i + BATCH]) for i in range(0, len(commands), BATCH)]
        began_s = time.perf_counter()
        for i, batch in enumerate(batches):
            self.link.send(batch)
            if i >= IN_FLIGHT:
                self.link.read(sizes[i - IN_FLIGHT], [], time.monotonic() + 60)
        for size in sizes[-IN_FLIGHT:]:
            self.link.read(size, [], time.monotonic() + 60)
        return len(window_updates) / (time.perf_counter() - began_s)

    def measure_call_us(self) -> float:
        """Mean time of a script call since the last reset, as Redis counts it."""
        return float(self.client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])

    def measure_cpu_s(self) -> float:
        """Processor time that the server has used so far."""
        used = self.client.info("cpu")
        return float(used["used_cpu_user"] + used["used_cpu_sys"])

    def fill(self, shop: Shop, count: int) -> None:
        """Applies `count` window updates, in parts so that they need not be in memory at once."""
        for part in range(0, count, 50_000):
            self.apply(shop.take_window_updates(min(50_000, count - part)), self.make_packer())

    def forget_sights(self) -> None:
        """Removes first-sight records, whose memory is measured apart."""
        for keys in _scan(self.client, b"{bench}live/sight/*"):
            self.client.unlink(*keys)


def _scan(client: Any, pattern: bytes) -> Iterator[list[bytes]]:
    cursor = 0
    while True:
        cursor, keys = client.scan(cursor, match=pattern, count=1_000)
        if keys:
            yield keys
        if cursor == 0:
            return


class Timed(NamedTuple):
    """Throughput and time a call over several rounds: the median, and the best, which other work disturbed least."""

    median_per_s: float
    best_per_s: float
    median_us: float
    best_us: float
    best_cpu_us: float
    """Processor time of the whole server per event, which waiting for a processor is not part of."""


def time_rounds(bench: Bench, rounds: Sequence[Sequence[WindowUpdate]], packer: WindowUpdatePacker) -> Timed:
    """Runs every round; each is measured for itself."""
    per_s, us, cpu_us = [], [], []
    for window_updates in rounds:
        bench.client.config_resetstat()
        before_s = bench.measure_cpu_s()
        per_s.append(bench.apply(window_updates, packer))
        cpu_us.append((bench.measure_cpu_s() - before_s) / len(window_updates) * 1e6)
        us.append(bench.measure_call_us())
    return Timed(median(per_s), max(per_s), median(us), min(us), min(cpu_us))


def measure_growth_in_events(bench: Bench, groups: int, sizes: Sequence[int], count: int) -> list[Row]:
    """Script cost over how many events each entity holds."""
    rows: list[Row] = []
    cpu_us: list[float] = []
    for per_day in sizes:
        bench.client.flushdb()
        shop = Shop(f"events{per_day}", groups, per_day)
        bench.fill(shop, groups * per_day + groups)
        rounds = [shop.take_window_updates(count // ROUNDS) for _ in range(ROUNDS)]
        bare = time_rounds(bench, rounds, bench.make_packer(bare=True))
        full = time_rounds(bench, rounds, bench.make_packer())
        cpu_us.append(full.best_cpu_us)
        name = f"script, {per_day} events an entity"
        rows += [
            Row(
                f"{name}, median",
                full.median_per_s,
                "events/s",
                bare.median_per_s,
                full.median_per_s / bare.median_per_s,
            ),
            Row(f"{name}, best", full.best_per_s, "events/s", bare.best_per_s, full.best_per_s / bare.best_per_s),
            Row(f"{name}, a call, median", full.median_us, "us", bare.median_us, full.median_us / bare.median_us),
            Row(
                f"{name}, server's processor",
                full.best_cpu_us,
                "us an event",
                bare.best_cpu_us,
                full.best_cpu_us / bare.best_cpu_us,
            ),
            Row(f"{name}, a call, best", full.best_us, "us", bare.best_us, full.best_us / bare.best_us),
        ]
        if per_day == TARGET_EVENTS:
            floor, ceiling = full.best_per_s >= TARGET_PER_S, full.best_us <= TARGET_US
            rows[-4] = replace(rows[-4], target=f">= {TARGET_PER_S}", holds=floor)
            rows[-1] = replace(rows[-1], target=f"<= {TARGET_US:g}", holds=ceiling)
    growth = cpu_us[-1] / cpu_us[0]
    name = f"growth of processor time, {sizes[0]} to {sizes[-1]} events"
    rows.append(Row(name, cpu_us[-1], "us an event", cpu_us[0], growth, "ratio <= 1.5", growth <= 1.5))
    return rows


def measure_growth_in_entities(bench: Bench, sizes: Sequence[int], per_day: int, count: int) -> list[Row]:
    """Script cost over how many entities the store holds, each with `per_day` events."""
    rows: list[Row] = []
    first_us = 0.0
    for entities in sizes:
        bench.client.flushdb()
        before = bench.client.info("memory")["used_memory"]
        groups = entities // len(_KINDS)
        shop = Shop(f"entities{entities}", groups, per_day)
        bench.fill(shop, groups * per_day)
        full = time_rounds(
            bench, [shop.take_window_updates(count // ROUNDS) for _ in range(ROUNDS)], bench.make_packer()
        )
        first_us = first_us or full.best_cpu_us
        bench.forget_sights()
        memory = bench.client.info("memory")["used_memory"] - before
        ratio = full.best_cpu_us / first_us
        held = f"{entities:,} entities of {per_day} events"
        rows += [
            Row(f"script, {held}, median", full.median_per_s, "events/s"),
            Row(
                f"script, {held}, server's processor",
                full.best_cpu_us,
                "us an event",
                first_us,
                ratio,
                "ratio <= 1.5",
                ratio <= 1.5,
            ),
            Row(f"memory, {held}", memory / entities, "bytes an entity"),
        ]
    return rows


def measure_single_events(bench: Bench, entities: int) -> list[Row]:
    """Memory of entities that were seen once, and of a first-sight record."""
    bench.client.flushdb()
    before = bench.client.info("memory")["used_memory"]
    fresh = entities // len(_KINDS)
    for part in range(0, fresh, 50_000):
        window_updates = [
            WindowUpdate(
                f"once-{i:09d}", START_MS + i, 1000 + i % 5000,
                (*(f"{kind}-{i:08d}-tok" for kind, _ in _KINDS), None, None, None), None, b"01234567",
            )
            for i in range(part, min(part + 50_000, fresh))
        ]  # fmt: skip
        bench.apply(window_updates, bench.make_packer())
    filled = bench.client.info("memory")["used_memory"]
    bench.forget_sights()
    states = bench.client.info("memory")["used_memory"] - before
    each = states / entities
    return [
        Row(
            f"memory, {entities:,} entities seen once", each, "bytes an entity", target=f"< {SINGLE_TARGET_BYTES}",
            holds=each < SINGLE_TARGET_BYTES,
        ),
        Row("memory, first-sight record", (filled - before - states) / fresh, "bytes a transaction"),
    ]  # fmt: skip


def measure_client_cost(bench: Bench, count: int) -> list[Row]:
    """Python's own time per event, in batches of 256."""
    bench.client.flushdb()
    shop = Shop("client", 1_000, 10)
    packer, reader = bench.make_packer(), ReplyReader()
    shared = packer.pack_shared(int(time.time()), "m-2026-11-01", "r-2026-11-01")
    packed_s = read_s = 0.0
    for _ in range(count // BATCH):
        window_updates = shop.take_window_updates(BATCH)
        with _quiet():
            began_s = time.thread_time()
            data = b"".join(packer.pack(window_updates, shared))
            packed_s += time.thread_time() - began_s
            bench.link.send(data)
            time_limit_s = time.monotonic() + 60
            replies: list[bytes] = []
            bench.link.read(BATCH, replies, time_limit_s)
            began_s = time.thread_time()
            reader.read_replies(replies)
            read_s += time.thread_time() - began_s
    events = count // BATCH * BATCH
    total_us = (packed_s + read_s) / events * 1e6
    return [
        Row("client, packing", packed_s / events * 1e6, "us an event"),
        Row("client, reading", read_s / events * 1e6, "us an event"),
        Row(
            "client, both", total_us, "us an event", target=f"<= {CLIENT_TARGET_US}", holds=total_us <= CLIENT_TARGET_US
        ),
    ]


@contextmanager
def _quiet() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description="Cost of the window store.")
    parser.add_argument("--quick", action="store_true", help="small sizes, about half a minute")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    server = find_redis_server()
    if server is None:
        sys.exit("bench.scoring.windows needs a Redis server: pip install 'tillguard[embedded]'")
    with start_private_redis(server) as settings:
        bench = Bench(settings)
        if options.quick:
            rows = measure_growth_in_events(bench, 50, (2, 20, 300, 400), 10_000)
            rows += measure_growth_in_entities(bench, (10_000, 100_000), 3, 5_000)
            rows += measure_single_events(bench, 50_000) + measure_client_cost(bench, 10_000)
        else:
            rows = measure_growth_in_events(bench, 400, (2, 20, 100, 300, 400, 800), 50_000)
            rows += measure_growth_in_entities(bench, (10_000, 100_000, 1_000_000), 10, 50_000)
            rows += measure_single_events(bench, 10_000_000) + measure_client_cost(bench, 50_000)
    print_table(rows)
    if options.json:
        write_json(rows, options.json)


if __name__ == "__main__":
    main()
