"""What the read model costs: `python -m bench.api.projection [--quick] [--json FILE] [--stack FOLDER] [--url URL]`.

A projector catches up with topics of a Kafka of its own; then the queue of all its cases is asked for pages. Every transaction has one
verdict, and all of them are open cases: nothing else makes the queue's index larger.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from statistics import median
from threading import Event
from typing import Any

from backoffice.projection.projector import Projector
from backoffice.projection.projectors import ProjectorThreads
from backoffice.projection.read_model import SqlReadModel
from backoffice.projection.results import CaseQuery, Entity
from backoffice.projection.store import ReadModelStore
from bench.scoring.shoppers import Shoppers
from bench.table import Row, print_table, write_json
from contract.clock import SystemClock, to_epoch_ms
from contract.codec import Decoder, encode
from contract.events import Transaction
from contract.settings import Settings, parse
from contract.topics import TRANSACTIONS, VERDICTS
from contract.verdicts import Decision, Reason, Verdict
from embedded.stack import Stack
from runtime.kafka import topics
from runtime.kafka.producer import SharedProducer

CASES = 100_000
"""What the queue is to answer a page of within PAGE_MS."""
PAGE_MS = 50.0
QUICK_CASES = 2_000
EVENTS_PER_CUSTOMER = 20
DELIVERED_AT_ONCE = 20_000
CALLS = 30
MILLION = 1_000_000
STAGES = ("decode", "windows", "features", "model", "decide")
DECISIONS: tuple[Decision, ...] = ("hold", "flag", "flag", "flag", "block")
REASONS = [
    Reason(code="group:card_1h", text="this card was used 6 times in the last hour, by 3 customers", weight=0.31),
    Reason(code="group:amount", text="the amount is 4.2 times what this customer usually pays", weight=0.12),
    Reason(code="rule:new-account-high-amount", text="a young account with a high amount", weight=1.0),
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.api.projection", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_CASES:,} cases instead of {CASES:,}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    parser.add_argument("--stack", type=Path, metavar="FOLDER", help="state folder of a stack that runs")
    parser.add_argument("--url", help="an empty database; a SQLite file of its own where absent")
    asked = parser.parse_args(arguments)
    cases = QUICK_CASES if asked.quick else CASES
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "read-model.db"
        stack = Stack(asked.stack or Path(folder) / "stack", report=print, die_with_parent=asked.stack is None)
        try:
            settings = make_retailer(stack)
            rows = measure(settings, asked.url or f"sqlite:///{file}", cases)
        finally:
            if asked.stack is None:
                stack.stop()
        if not asked.url:
            size = sum(each.stat().st_size for each in file.parent.glob(f"{file.name}*"))
            rows.append(Row("size of a million transactions", size / cases * MILLION / 2**30, "GiB"))
    print_table(rows)
    if asked.json:
        write_json(rows, asked.json)


def make_retailer(stack: Stack) -> Settings:
    """A retailer with empty topics."""
    kafka = {"bootstrap_servers": stack.start(["kafka"])["kafka"].uri, "partitions": 12}
    settings = parse({"retailer": f"bench-{token_hex(4)}", "kafka": kafka}, where="bench")
    topics.ensure(settings)
    return settings


def measure(settings: Settings, url: str, cases: int) -> list[Row]:
    """Catches up with `cases` cases, and asks for them."""
    produce(settings, cases)
    rows = [measure_catching_up(settings, url, 2 * cases)]
    with closing(ReadModelStore(url)) as store:
        return rows + measure_questions(SqlReadModel(store, SystemClock()), settings.retailer, cases)


def produce(settings: Settings, cases: int) -> None:
    """Transactions of the last day, and a verdict of each."""
    transactions, verdicts = [], []
    with SharedProducer(settings.kafka, "bench") as producer:
        for place, (key, value) in enumerate(_draw(settings.retailer, cases)):
            transactions.append((key, value))
            verdicts.append((key, encode(make_verdict(settings.retailer, value, place))))
            if len(transactions) == DELIVERED_AT_ONCE or place == cases - 1:
                producer.deliver(TRANSACTIONS.name(settings.retailer), transactions)
                producer.deliver(VERDICTS.name(settings.retailer), verdicts)
                transactions, verdicts = [], []


def make_verdict(retailer: str, transaction: bytes, place: int) -> Verdict:
    """An open case; scores and decisions vary with `place`."""
    told = _DECODER.decode(transaction)
    decision = DECISIONS[place % len(DECISIONS)]
    scored_at = told.event_time + timedelta(milliseconds=12)
    return Verdict(
        transaction_id=told.transaction_id,
        retailer=retailer,
        revision=1,
        decision=decision,
        score=(place * 7919 % 1000) / 1000,
        reasons=REASONS,
        model_version=f"{retailer}-20261201-042017",
        rules_version="rules-4f1c2a9e",
        feature_schema="v3-0123456789ab",
        rules=["new-account-high-amount"],
        degraded=False,
        cause=None,
        late=False,
        event_time=told.event_time,
        scored_at=scored_at,
        latency_ms=12.0 + place % 9,
        stage_us=dict.fromkeys(STAGES, 40.0 + place % 31),
        hold_until=scored_at + timedelta(days=2) if decision == "hold" else None,
    )


def measure_catching_up(settings: Settings, url: str, records: int) -> Row:
    """From an empty database until nothing is left to read, reading from Kafka included."""
    ReadModelStore(url).close()
    done = Event()
    made = Projector(
        settings, lambda: ReadModelStore(url), SystemClock(), keep_days=90, written=lambda _: note(made, records, done)
    )
    started_s = time.perf_counter()
    with ProjectorThreads([made]):
        done.wait()
        taken_s = time.perf_counter() - started_s
    return Row("projector catches up", records / taken_s, "records/s")


def note(made: Projector, records: int, done: Event) -> None:
    """Sets `done` when everything was read."""
    if made.state.records >= records:
        done.set()


def measure_questions(model: SqlReadModel, retailer: str, cases: int) -> list[Row]:
    """Medians; the target is of pages of the queue."""
    now = datetime.now(UTC)
    middle = _walk(model, retailer, pages=20)
    device = _find_device(model, retailer)
    day = timedelta(days=1)
    pages: dict[str, Callable[[], Any]] = {
        "first page by loss": lambda: model.list_cases(retailer, CaseQuery()),
        "page 21 by loss": lambda: model.list_cases(retailer, CaseQuery(), after=middle),
        "blocks of at least 500.00": lambda: model.list_cases(
            retailer, CaseQuery(decision="block", amount_min_minor=50_000)
        ),
        "holds by time left": lambda: model.list_cases(retailer, CaseQuery(order="time_left", due_after=now)),
        "cases of one device": lambda: model.list_cases(retailer, CaseQuery(entity=device)),
        "no case fits": lambda: model.list_cases(retailer, CaseQuery(amount_min_minor=10**11)),
    }
    others: dict[str, Callable[[], Any]] = {
        "counts by decision": lambda: model.count_cases(retailer),
        "history of a device": lambda: model.list_entity_history(retailer, device, at=now),
        "neighbours, two steps": lambda: model.find_neighbours(retailer, device, depth=2),
        "latencies of a day": lambda: model.measure_latencies(retailer, now - day, now),
        "decisions of a day by minute": lambda: model.count_decisions(retailer, now - day, now),
    }
    rows = [
        Row(
            f"queue of {cases:,}: {name}",
            taken := _time_ms(ask),
            "ms",
            target=f"< {PAGE_MS:.0f}",
            holds=taken < PAGE_MS,
        )
        for name, ask in pages.items()
    ]
    return rows + [Row(name, _time_ms(ask), "ms") for name, ask in others.items()]


def _draw(retailer: str, cases: int) -> Iterator[tuple[bytes, bytes]]:
    now_ms = to_epoch_ms(datetime.now(UTC))
    shoppers = Shoppers(retailer, max(1, cases // EVENTS_PER_CUSTOMER), series="desk")
    for record in shoppers.draw_stream(cases, now_ms - 86_400_000, now_ms):
        yield record.key, record.value


def _walk(model: SqlReadModel, retailer: str, *, pages: int) -> str | None:
    after = None
    for _ in range(pages):
        after = model.list_cases(retailer, CaseQuery(), after=after).next or after
    return after


def _find_device(model: SqlReadModel, retailer: str) -> Entity:
    told = model.list_cases(retailer, CaseQuery(), limit=1).items[0].transaction
    if told is None or told.device is None:
        raise RuntimeError("the first case names no device")
    return Entity("device", told.device)


def _time_ms(ask: Callable[[], Any]) -> float:
    ask()
    taken = []
    for _ in range(CALLS):
        started_s = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - started_s) * 1000)
    return median(taken)


_DECODER = Decoder(Transaction)

if __name__ == "__main__":
    main()
