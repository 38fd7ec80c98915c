"""How fast a program works through transactions that are already there."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from bench.scoring.shops import Program, Shop, get_verdict_partitions
from contract.verdicts import REVISION_FULL

POLL_S = 0.1
SAMPLE_EVERY_S = 0.25
TIME_LIMIT_S = 600.0
ANSWER_TIMEOUT_S = 30.0
WARM_UP = 0.1
"""Share of the verdicts that is left out: processes load, groups form, caches fill."""


class Said(msgspec.Struct):
    """What matters here of a verdict."""

    transaction_id: str
    revision: int
    decision: str


class Sample(NamedTuple):
    """What a process had used when this many verdicts stood there."""

    verdicts: int
    resident_bytes: int
    cpu_s: float


class Run(NamedTuple):
    """One pass over the backlog."""

    per_s: float
    """Events per second of the broker's clock, without the warm-up."""
    degraded: float
    """Share of the events answered degraded first."""
    refused: float
    """Share not simply allowed."""
    cpu_us: float
    """Processor time of the (first) process per event, all its threads; what else the machine does hardly moves it."""
    samples: list[Sample]
    """Of the first process."""


class VerdictLog:
    """Reads what is added to a shop's verdicts topic."""

    def __init__(self, shop: Shop) -> None:
        self._topic, self._partitions = get_verdict_partitions(shop)
        self._consumer = Consumer(
            shop.kafka | {"group.id": "bench", "enable.auto.commit": False, "queued.max.messages.kbytes": 16_384}
        )
        self._from = self._ends()

    def close(self) -> None:
        self._consumer.close()

    def count(self) -> int:
        """Verdicts added since this object was made."""
        ends = self._ends()
        return sum(ends[number] - self._from[number] for number in self._partitions)

    def read(self) -> list[tuple[int, Said]]:
        """All of them with the broker's time (ms), in the order of that time."""
        ends, decode = self._ends(), msgspec.json.Decoder(Said).decode
        self._consumer.assign([TopicPartition(self._topic, number, self._from[number]) for number in self._partitions])
        found: list[tuple[int, Said]] = []
        expected = sum(ends[number] - self._from[number] for number in self._partitions)
        deadline_s = time.monotonic() + TIME_LIMIT_S
        while len(found) < expected:
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"{self._topic} cannot be read")
            for message in self._consumer.consume(10_000, 0.5):
                value, number = message.value(), message.partition() or 0
                if message.error() is None and value is not None and (message.offset() or 0) < ends[number]:
                    found.append((message.timestamp()[1], decode(value)))
        self._consumer.unassign()
        return sorted(found, key=lambda pair: pair[0])

    def _ends(self) -> dict[int, int]:
        return {number: end_of(self._consumer, TopicPartition(self._topic, number)) for number in self._partitions}


def end_of(consumer: Consumer, partition: TopicPartition) -> int:
    """The offset behind the newest record; asks again where a busy broker is between two states."""
    deadline_s = time.monotonic() + ANSWER_TIMEOUT_S
    while True:
        try:
            return int(consumer.get_watermark_offsets(partition, timeout=ANSWER_TIMEOUT_S)[1])
        except KafkaException:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(POLL_S)


def work_through(shop: Shop, kind: str, events: int, *, processes: int = 1) -> Run:
    """Lets `processes` programs score all `events` that stand on the shop's topic; raises RuntimeError where they fail."""
    shop.rewind()
    log = VerdictLog(shop)
    samples: list[Sample] = []
    try:
        with ExitStack() as running:
            programs = [running.enter_context(Program(kind, shop)) for _ in range(processes)]
            wanted = events
            while wanted:
                _await(log, programs, wanted, samples)
                said = log.read()
                wanted = count_wanted([one for _, one in said], events)
    finally:
        log.close()
    final = [(at_ms, one) for at_ms, one in said if one.revision == REVISION_FULL]
    refused = sum(one.decision != "allow" for _, one in final) / events
    degraded = (len(said) - len(final)) / events
    return Run(_rate([at_ms for at_ms, _ in final]), degraded, refused, _cpu_us(samples), samples)


def count_wanted(said: Sequence[Said], events: int) -> int:
    """How many verdicts there must be before all `events` can have a full one; 0 when they have.

    A busy machine answers some degraded first: then there are as many verdicts as events before every event has its full answer.
    """
    missing = events - len({one.transaction_id for one in said if one.revision == REVISION_FULL})
    return len(said) + missing if missing else 0


def _await(log: VerdictLog, programs: Sequence[Program], events: int, samples: list[Sample]) -> None:
    deadline_s = time.monotonic() + TIME_LIMIT_S
    due_s = 0.0
    while (count := log.count()) < events:
        now_s = time.monotonic()
        if now_s > deadline_s:
            raise RuntimeError(f"{programs[0].kind}: {count} of {events} verdicts within {TIME_LIMIT_S:.0f} s")
        for program in programs:
            program.check()
        if count and now_s >= due_s:
            due_s = now_s + SAMPLE_EVERY_S
            samples.append(Sample(count, programs[0].resident_bytes, programs[0].cpu_s))
        time.sleep(POLL_S)
    samples.append(Sample(count, programs[0].resident_bytes, programs[0].cpu_s))


def _rate(times_ms: Sequence[int]) -> float:
    first = int(len(times_ms) * WARM_UP)
    return (len(times_ms) - 1 - first) / max(1e-3, (times_ms[-1] - times_ms[first]) / 1000)


def _cpu_us(samples: Sequence[Sample]) -> float:
    """Between the first sample after the warm-up and the last one; 0 where there are not two."""
    first = next(sample for sample in samples if sample.verdicts >= WARM_UP * samples[-1].verdicts)
    events = samples[-1].verdicts - first.verdicts
    return (samples[-1].cpu_s - first.cpu_s) / events * 1e6 if events else 0.0
