"""What scoring costs: `python -m bench.scoring [--quick] [--part NAME] [--json FILE] [--stack FOLDER]`.

Everything in one run against one stack, each figure next to its own baseline: the worker next to the limit loop
(bench/scoring/limit_loop.py), the agent feed next to a minimal Faust application, in turns, so that what else the machine does hits both.
Ratios are to be kept; absolute figures are this machine's.
"""

import argparse
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Self

import msgspec
import numpy as np

from bench.scoring import load, network, windows
from bench.scoring.backlog import Run, Sample, work_through
from bench.scoring.shoppers import Record, Shoppers
from bench.scoring.shops import MODEL_VERSION, Program, Shop, build_engine, build_raw_events, close_shop, open_shop
from bench.table import Row, print_table, write_json
from contract.settings import LogSettings
from contract.verdicts import Verdict
from embedded.stack import Stack
from runtime import logs
from tillguard.history.private_redis import find_redis_server, start_private_redis

SERVICES = ("kafka", "redis")
WEEK_MS = 7 * 86_400_000
HISTORY_ENDS_MS = 1_200_000
"""A backlog's newest event is 20 minutes old: nobody waits at a till for it."""
EVENTS_PER_CUSTOMER = 20
SAMPLE = 4_000
FEED_TARGETS = {"librdkafka feed": ("limit loop", 0.7), "agent feed": ("faust loop", 0.8)}
COMPARED = ("limit loop", "librdkafka feed")
"""Whose latencies are compared."""
LATENCY_TARGETS = {"p50": 1.5, "p99": 2.0}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    backlog: int
    repeats: int
    rates: tuple[int, ...]
    warm_up_s: float
    seconds: float
    rounds: int
    """Turns of each program at each rate."""
    engine_events: int
    script_groups: int
    script_events: int
    workers: tuple[int, ...]
    memory_events: int
    """0: not measured."""


FULL = Sizes(100_000, 3, (200, 1000, 2000), 5.0, 10.0, 2, 20_000, 400, 50_000, (1, 2, 4), 1_000_000)
QUICK = Sizes(15_000, 1, (200, 1000), 1.0, 2.0, 1, 2_000, 50, 10_000, (), 0)
TINY = Sizes(1_000, 1, (50,), 0.2, 0.5, 1, 256, 2, 200, (), 0)


class Site:
    """The stack and the retailers on it; a context manager that removes them."""

    def __init__(self, folder: Path, stack: Stack) -> None:
        self._folder = folder
        self._endpoints = stack.start(SERVICES)
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def open_shop(self, name: str, sample: Callable[[str], Sequence[Record]]) -> Shop:
        """A new retailer; `sample` makes transactions for its name."""
        retailer = f"bench-{name}-{secrets.token_hex(3)}"
        shop = open_shop(self._folder, self._endpoints, retailer, sample(retailer))
        self._exit.callback(close_shop, shop)
        return shop


def generate_history(retailer: str, count: int, series: str) -> list[Record]:
    """A week of transactions that ended some minutes ago."""
    last_ms = int(time.time() * 1000) - HISTORY_ENDS_MS
    shoppers = Shoppers(retailer, max(1, count // EVENTS_PER_CUSTOMER), series=series)
    return list(shoppers.draw_stream(count, last_ms - WEEK_MS, last_ms))


def generate_live(retailer: str, count: int) -> list[Record]:
    """The last two minutes of a shop with many customers."""
    now_ms = int(time.time() * 1000)
    return list(Shoppers(retailer, max(1, count // 2), series="sample").draw_stream(count, now_ms - 120_000, now_ms))


def measure_throughput(site: Site, sizes: Sizes) -> list[Row]:
    """Every program over the same backlog, in turns; medians of the repeats."""
    shop = site.open_shop("backlog", lambda retailer: generate_history(retailer, SAMPLE, "sample"))
    shop.append(generate_history(shop.name, sizes.backlog, "backlog"))
    kinds = [kind for feed, (limit, _) in FEED_TARGETS.items() for kind in (limit, feed)]
    runs: dict[str, list[Run]] = {kind: [] for kind in kinds}
    for turn in range(sizes.repeats):
        for kind in kinds if turn % 2 == 0 else reversed(kinds):
            runs[kind].append(work_through(shop, kind, sizes.backlog))
    rows = []
    for feed, (limit, target) in FEED_TARGETS.items():
        value, baseline = (median(run.per_s for run in runs[kind]) for kind in (feed, limit))
        cpu_us, limit_us = (median(run.cpu_us for run in runs[kind]) for kind in (feed, limit))
        rows += [
            Row(f"throughput, {limit}", baseline, "events/s"),
            _against(Row(f"throughput, {feed}", value, "events/s"), baseline, target, at_least=True),
            Row(f"processor time, {feed}", cpu_us, "us an event", limit_us, cpu_us / limit_us if limit_us else None),
            Row(f"throughput, {feed}, answered degraded", max(run.degraded for run in runs[feed]), "share"),
        ]
    rows.append(Row("not simply allowed", runs["librdkafka feed"][0].refused, "share"))
    return rows + measure_growth(shop, sizes, rows[1].value)


def measure_growth(shop: Shop, sizes: Sizes, one: float) -> list[Row]:
    """Workers that share the backlog, against one."""
    rows = []
    for count in sizes.workers:
        per_s = work_through(shop, "librdkafka feed", sizes.backlog, processes=count).per_s
        name = f"throughput, {count} worker{'s' if count > 1 else ''} of {os.cpu_count()} cores"
        rows.append(Row(name, per_s, "events/s", one, per_s / one))
    return rows


def measure_latency(site: Site, sizes: Sizes) -> list[Row]:
    """Limit loop and worker at the same rates, in turns, each on a retailer of its own."""
    shops = {kind: site.open_shop(kind.split()[0], lambda name: generate_live(name, SAMPLE)) for kind in COMPARED}
    found: dict[tuple[str, int], list[load.Latencies]] = {}
    with ExitStack() as running:
        programs = {kind: running.enter_context(Program(kind, shop)) for kind, shop in shops.items()}
        shoppers = {kind: Shoppers(shop.name, 50_000, series="live") for kind, shop in shops.items()}
        for kind, shop in shops.items():  # until it is up
            load.measure(shop, shoppers[kind], programs[kind], per_s=50, warm_up_s=0.2, seconds=0.2)
        for turn in range(sizes.rounds):
            for rate in sizes.rates:
                for kind in COMPARED if turn % 2 == 0 else reversed(COMPARED):
                    measured = load.measure(
                        shops[kind],
                        shoppers[kind],
                        programs[kind],
                        per_s=rate,
                        warm_up_s=sizes.warm_up_s,
                        seconds=sizes.seconds,
                    )
                    found.setdefault((kind, rate), []).append(measured)
    return [row for rate in sizes.rates for row in _latency_rows(rate, found)]


def _latency_rows(rate: int, found: dict[tuple[str, int], list[load.Latencies]]) -> list[Row]:
    rows = []
    bare, worker = (found[kind, rate] for kind in COMPARED)
    for name, field in (("p50", 0), ("p99", 1), ("p99.9", 2)):
        value, baseline = (median(one[field] for one in measured) for measured in (worker, bare))
        row = Row(f"latency at {rate}/s, {name}", value, "ms", baseline, value / baseline)
        target = LATENCY_TARGETS.get(name)
        rows.append(row if target is None else _against(row, baseline, target, at_least=False))
    degraded = max(one.degraded for one in worker)
    return [*rows, Row(f"latency at {rate}/s, answered degraded", degraded, "share")]


def _against(row: Row, baseline: float, target: float, *, at_least: bool) -> Row:
    ratio = row.value / baseline
    holds = ratio >= target if at_least else ratio <= target
    words = f"{'>=' if at_least else '<='} {target:g} x"
    return Row(row.measure, row.value, row.unit, baseline, ratio, words, holds)


def measure_engine(site: Site, sizes: Sizes) -> list[Row]:
    """The engine without Kafka, by batch size and stage."""
    shop = site.open_shop("engine", lambda retailer: generate_history(retailer, SAMPLE, "sample"))
    limits = network.choose_thresholds(np.linspace(0, 1, 1001).tolist())
    subject = build_engine(shop, network.build_network_package(shop.name, MODEL_VERSION, limits), MODEL_VERSION)
    rows = []
    for batch in (1, 16, 256):
        events = build_raw_events(shop, generate_history(shop.name, sizes.engine_events, f"engine{batch}"))
        stages: dict[str, float] = {}
        decode = msgspec.json.Decoder(Verdict).decode
        began_s = time.perf_counter()
        batches = (events[start : start + batch] for start in range(0, len(events), batch))
        outcomes = [subject.collect(subject.submit(part)) for part in batches]
        total_us = (time.perf_counter() - began_s) / len(events) * 1e6
        for part in outcomes:
            for stage, us in decode(part[0].verdict or b"").stage_us.items():
                stages[stage] = stages.get(stage, 0.0) + us * len(part) / len(events)
        stages["messages and the rest"] = total_us - sum(stages.values())
        rows.append(Row(f"engine, batches of {batch}", total_us, "us an event"))
        rows += [Row(f"engine, batches of {batch}, {stage}", us, "us an event") for stage, us in stages.items()]
    return rows


def measure_script(_site: Site, sizes: Sizes) -> list[Row]:
    """The window script with 300 events an entity, on a Redis of its own."""
    server = find_redis_server()
    if server is None:
        return []
    with start_private_redis(server) as settings:
        bench = windows.Bench(settings)
        return windows.measure_growth_in_events(
            bench, sizes.script_groups, (windows.TARGET_EVENTS,), sizes.script_events
        )


def measure_memory(site: Site, sizes: Sizes) -> list[Row]:
    """Resident memory of one worker while it works through many events."""
    if not sizes.memory_events:
        return []
    shop = site.open_shop("memory", lambda retailer: generate_history(retailer, SAMPLE, "sample"))
    shop.append(generate_history(shop.name, sizes.memory_events, "memory"))
    seen = work_through(shop, "librdkafka feed", sizes.memory_events).samples
    grown = _slope(seen[len(seen) // 2 :]) * 1e6 / 2**20
    return [
        Row("memory, at the end", seen[-1].resident_bytes / 2**20, "MiB"),
        Row("memory, growth in the second half", grown, "MiB per 10^6 events", target="flat"),
    ]


def _slope(seen: Sequence[Sample]) -> float:
    counts, sizes = np.array([sample[:2] for sample in seen], dtype=np.float64).T
    return float(np.polyfit(counts, sizes, 1)[0])


PARTS: dict[str, Callable[[Site, Sizes], list[Row]]] = {
    "script": measure_script,
    "engine": measure_engine,
    "latency": measure_latency,
    "throughput": measure_throughput,
    "memory": measure_memory,
}


def measure(sizes: Sizes, folder: Path, stack: Stack, parts: Sequence[str]) -> list[Row]:
    """The rows of some `parts`, in the order of PARTS."""
    rows: list[Row] = []
    with Site(folder, stack) as site:
        for name, part in PARTS.items():
            if name not in parts:
                continue
            sys.stderr.write(f"measuring {name}\n")
            found = part(site, sizes)
            sys.stderr.writelines(f"  {row.measure}: {row.value:,.6g} {row.unit}\n" for row in found)
            rows += found
    return rows


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description="What scoring costs.")
    parser.add_argument("--quick", action="store_true", help="small sizes, about a minute")
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one; may be given again")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument(
        "--stack",
        type=Path,
        help="a state folder whose Kafka and Redis are used (database 13 is emptied); else a stack of its own",
    )
    options = parser.parse_args()
    logs.configure(LogSettings(level="WARNING", format="text"))
    sizes = TINY if options.tiny else QUICK if options.quick else FULL
    with tempfile.TemporaryDirectory(prefix="tillguard-bench-") as name:
        folder = Path(name)
        stack = Stack(options.stack or folder / "stack", die_with_parent=options.stack is None)
        try:
            rows = measure(sizes, folder, stack, options.part or list(PARTS))
        finally:
            if options.stack is None:
                stack.stop(SERVICES)
    print_table(rows)
    print("load average: " + ", ".join(f"{value:.2f}" for value in os.getloadavg()))
    if options.json:
        write_json(rows, options.json)


if __name__ == "__main__":
    main()
