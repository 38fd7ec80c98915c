"""What people read from the logs, without the coordinator's help."""

from itertools import pairwise

import numpy as np
import pytest

from federation.audit.history import (
    LogReader,
    decode_content,
    find_halt,
    group_by_cohort,
    list_rounds,
    read_newest_privacy,
)
from federation.audit.ledger import make_next_entry
from federation.messages.envelope import seal, to_records
from federation.transports.memory import MemoryTransport
from federation.transports.ports import Outgoing
from support.federation_ledger import ledger_of
from support.federation_world import small_settings, small_world


def test_a_reader_sees_every_round_and_nothing_that_is_not_the_coordinator_s() -> None:
    world = small_world(small_settings("masked"), 4)
    fingerprint = world.identity.public.fingerprint
    reader = LogReader(MemoryTransport(world.broker, "reader"), world.settings.name, fingerprint)
    assert reader.read().epoch == 1
    world.enrol_all()
    world.run_rounds(2)
    told = reader.read()
    assert told.refused == 0
    assert told.audit.holds
    assert list(told.entries) == ledger_of(world)
    assert told.roster is not None
    assert len(told.roster.members) == 4
    lines = list_rounds(told.entries)
    assert [(line.round, line.attempts, line.outcome, line.participants) for line in lines] == [
        (1, 1, "model 1", 4),
        (2, 1, "model 2", 4),
    ]
    assert all(line.ended_ms >= line.began_ms for line in lines)
    assert find_halt(told.entries) == ""
    assert read_newest_privacy(told.entries)["level"] == "none"
    world.broker.take([Outgoing("ledger", b"x", b"rubbish")], "mallory", exclusive=True)
    again = reader.read()
    assert (again.refused, again.audit.holds) == (1, True)
    forged = make_next_entry(again.audit.head, "plan", {}, at_ms=world.broker.now_ms)
    for name in ("shop-0", "coordinator"):  # under its own name, and under the coordinator's
        signed = seal(
            forged, world.identities["shop-0"], federation=world.settings.name, sent_at_ms=1, epoch=1, sender=name
        )
        for record in to_records(signed, world.identities["shop-0"]):
            world.broker.take([Outgoing("ledger", b"x", record)], "shop-0", exclusive=True)
    last = reader.read()
    assert (last.refused, last.entries, last.audit.holds) == (3, again.entries, True)


def test_of_sums_the_ledger_tells_how_the_model_changed_with_each_cohort() -> None:
    world = small_world(small_settings("masked", cohort_max=3), 5)
    world.enrol_all()
    world.run_rounds(4)
    lines = list_rounds(ledger_of(world))
    assert all(len(line.cohort) == line.participants == 3 for line in lines)
    figures = [line.metrics["ap"] for line in lines]
    assert [line.change for line in lines] == [None, *(after - before for before, after in pairwise(figures))]
    found = {one.participant: one for one in group_by_cohort(lines)}
    drawn = {name for line in lines for name in line.cohort}
    assert found.keys() == drawn
    for name, one in found.items():
        with_it = [line.change for line in lines if line.change is not None and name in line.cohort]
        others = [line.change for line in lines if line.change is not None and name not in line.cohort]
        assert one.trainings == sum(name in line.cohort for line in lines)
        assert one.with_it == (pytest.approx(np.mean(with_it)) if with_it else None)
        assert one.without_it == (pytest.approx(np.mean(others)) if others else None)


def test_under_another_fingerprint_nobody_is_believed() -> None:
    world = small_world(small_settings("masked"), 3)
    world.enrol_all()
    told = LogReader(MemoryTransport(world.broker, "reader"), world.settings.name, "ab" * 32).read()
    assert told.coordinator is None
    assert told.entries == ()


def test_an_entry_that_was_taken_out_of_the_log_breaks_the_chain() -> None:
    world = small_world(small_settings("masked"), 3)
    world.enrol_all()
    del world.broker._logs["ledger"][2]
    told = LogReader(
        MemoryTransport(world.broker, "reader"), world.settings.name, world.identity.public.fingerprint
    ).read()
    assert not told.audit.holds
    assert "entry 2 is missing" in told.audit.reason
    assert decode_content(told.entries[0])["instance"]
