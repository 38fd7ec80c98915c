"""What may happen to records on their way in a simulation, and what may not, since no Kafka does it."""

import pytest

from federation.transports.memory import Faults, MemoryBroker, MemoryTransport
from federation.transports.ports import Outgoing


def arrived(faults: Faults, seed: int) -> list[bytes]:
    """The values on the log after two appends of ten records each."""
    broker = MemoryBroker(seed=seed, faults=faults)
    transport = MemoryTransport(broker, "shop")
    for append in (b"a", b"b"):
        transport.append([Outgoing("updates", b"shop", append + bytes([number])) for number in range(10)])
    broker.advance_to(faults.delay_ms_max)
    return [record.value for record in broker.read("updates", 0, 1_000)]


def test_appends_overtake_each_other_and_the_records_of_one_never_do() -> None:
    firsts = set()
    for seed in range(20):
        values = arrived(Faults(delay_ms_max=100), seed)
        assert len(values) == 20
        for append in (b"a", b"b"):
            assert [value[1] for value in values if value[:1] == append] == list(range(10))
        firsts.add(values[0][:1])
    assert firsts == {b"a", b"b"}


@pytest.mark.parametrize(
    ("faults", "least", "most"),
    [
        (Faults(loss=0.5), 150, 250),
        (Faults(duplication=0.5), 550, 650),
        (Faults(delay_ms_max=9, duplication=1.0), 800, 800),
    ],
)
def test_so_many_are_lost_or_come_twice(faults: Faults, least: int, most: int) -> None:
    assert least <= sum(len(arrived(faults, seed)) for seed in range(20)) <= most


def test_a_damaged_record_is_cut_short_or_differs_in_one_byte() -> None:
    values = [value for seed in range(20) for value in arrived(Faults(damage=0.5), seed)]
    whole = [value for value in values if len(value) == 2 and value[:1] in b"ab" and value[1] < 10]
    assert len(values) == 400
    assert 150 <= len(whole) <= 290, "some changed into another that was sent"
