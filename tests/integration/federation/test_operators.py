"""Operators at a real Kafka, with a coordinator as a process: orders given in one moment, refused, replayed, unanswered."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from contract.clock import ManualClock, SystemClock
from contract.federation.messages import Order
from federation.audit.history import History, decode_content
from federation.audit.orders import Answer, give
from federation.transports.kafka_logs import KafkaTransport
from federation.transports.ports import Outgoing, Record
from support import forked
from support.federation_processes import Processes
from tillguard.federation import keys, root

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
WAIT_S = 120.0


class Ended(NamedTuple):
    """A command that has ended."""

    code: int
    said: str


class Operators:
    """They share the coordinator's keys, and know the fingerprints that retailers' people have read out."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.fingerprints: dict[str, str] = {}
        for shop in processes.names:
            own = processes.retailer(shop).federation
            self.fingerprints[shop] = keys.make_identity(shop, own.participant).fingerprint
            root.enrol(own, keys.load_identity(own.participant, "enrol"))

    def approval(self, shop: str) -> Order:
        return Order(action="approve", participant=shop, fingerprint=self.fingerprints[shop])

    def give(self, order: Order, clock: ManualClock, wait_s: float = WAIT_S) -> Answer:
        transport = KafkaTransport(self.processes.settings, "operator")
        try:
            return give(
                order, identity=self.processes.identity, federation=self.processes.name, transport=transport,
                clock=clock, wait_s=wait_s,
            )  # fmt: skip
        finally:
            transport.close()

    def at_once(self, *commands: list[str]) -> list[Ended]:
        """Commands as operators start them, side by side."""
        start = ["-m", "tillguard", "federation", "participants"]
        config = ["--config", str(self.processes.file("coordinator"))]
        logs = [self.processes.folder / f"command-{secrets.token_hex(4)}" for _ in commands]
        running = [forked.start([*start, *words, *config], log=log) for words, log in zip(commands, logs, strict=True)]
        codes = [each.wait(WAIT_S + 60) for each in running]
        return [Ended(code, log.read_text()) for code, log in zip(codes, logs, strict=True)]

    def approve(self, shop: str, wait_s: float = WAIT_S) -> list[str]:
        return ["approve", shop, "--fingerprint", self.fingerprints[shop], "--wait", str(wait_s)]

    def orders(self) -> list[Record]:
        """All that stand on the topic."""
        transport = KafkaTransport(self.processes.settings, "reader")
        try:
            first, end = transport.find_bounds("updates")
            transport.read_from({"updates": first})
            found: list[Record] = []
            while not transport.has_caught_up("updates", end):
                found += [record for record in transport.poll(1.0) if record.key == b"operator"]
            return found
        finally:
            transport.close()

    def replay(self, records: list[Record]) -> None:
        transport = KafkaTransport(self.processes.settings, "mallory")
        try:
            transport.append([Outgoing("updates", b"operator", record.value) for record in records])
        finally:
            transport.close()


@pytest.fixture
def operators(stack: Any, retailer_name: str, tmp_path: Path) -> Iterator[Operators]:
    processes = Processes(tmp_path, retailer_name.replace("shop", "f"), stack.endpoints["kafka"].uri, 4)
    try:
        yield Operators(processes)
    finally:
        processes.stop()


def standing(told: History) -> dict[str, str]:
    return {} if told.roster is None else {member.name: member.status for member in told.roster.members}


def test_orders_given_in_one_moment_all_hold_and_every_command_says_what_became_of_its_own(
    operators: Operators,
) -> None:
    processes = operators.processes
    first, second, third, fourth = processes.names

    # No coordinator runs: the command says so, and the order holds as soon as one starts.
    (unanswered,) = operators.at_once(operators.approve(first, wait_s=1))
    assert unanswered.code == 1, unanswered.said
    assert f"no coordinator of {processes.name} answered within 1 s" in unanswered.said
    assert "is carried out when a coordinator comes to it" in unanswered.said
    processes.start_coordinator()
    told = processes.await_told(lambda told: first in standing(told), "the order that stood on the topic")
    assert standing(told) == {first: "approved"}

    # Two dated the same millisecond.
    clock = ManualClock(SystemClock().now())
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda shop: operators.give(operators.approval(shop), clock), (second, third)))
    assert answers == [Answer("done"), Answer("done")]

    # Two commands, each of which waits for its own answer.
    approved, revoked = operators.at_once(operators.approve(fourth), ["revoke", first, "--wait", str(WAIT_S)])
    assert (approved.code, revoked.code) == (0, 0), approved.said + revoked.said
    assert f"{fourth} is approved" in approved.said
    assert f"{first} is shut out" in revoked.said
    roster = {first: "revoked", second: "approved", third: "approved", fourth: "approved"}
    assert standing(processes.told()) == roster

    # All of them once more, from somebody who may write to the topic; then a real one that is refused, and says so.
    orders = operators.orders()
    assert len(orders) == 5
    operators.replay(orders)
    (refused,) = operators.at_once(operators.approve(second))
    assert refused.code == 1
    assert "is refused (duplicate): the participant is approved already" in refused.said
    told = processes.told()
    assert standing(told) == roster
    assert told.audit.holds, told.audit.reason
    dropped = [decode_content(entry) for entry in told.entries if entry.kind == "dropped"]
    assert dropped == [{"duplicate": len(orders) + 1}], "the replayed, and the one that was refused"
    kinds = [entry.kind for entry in told.entries if "order_id" in decode_content(entry)]
    assert sorted(kinds) == ["approved"] * 4 + ["order_refused", "revoked"]


def test_a_coordinator_that_waits_for_participants_says_so_and_the_list_has_who_can_be_approved(
    operators: Operators,
) -> None:
    processes = operators.processes
    first, second, *_ = processes.names
    config = ["--config", str(processes.file("coordinator"))]
    operators.give(operators.approval(first), ManualClock(SystemClock().now()), wait_s=0)
    processes.order(Order(action="run", rounds=1))
    processes.start_coordinator()
    processes.await_told(lambda told: any(entry.kind == "run_ordered" for entry in told.entries), "the order")
    processes.await_logged("waits_for_participants", "1 of 3")
    assert "waits for     participants, 1 of 3 (federation.rounds.cohort_min)" in processes.call("status", *config)

    # Keys that were lost and made again: while the name is approved they wait for nothing, and afterwards they do.
    own = processes.retailer(first).federation
    lost = operators.fingerprints[first]
    own.participant.key_file.unlink()
    operators.fingerprints[first] = keys.make_identity(first, own.participant).fingerprint

    def listed() -> list[tuple[str, ...]]:
        lines = processes.call("participants", "list", *config).splitlines()
        return [tuple(line.split()[:3]) for line in lines if line.split()[1] in (first, second)]

    root.enrol(own, keys.load_identity(own.participant, "enrol"))
    waits = ("waiting", second, operators.fingerprints[second])
    assert listed() == [("approved", first, lost), waits]
    (revoked,) = operators.at_once(["revoke", first, "--wait", str(WAIT_S)])
    assert revoked.code == 0, revoked.said
    root.enrol(own, keys.load_identity(own.participant, "enrol"))
    assert sorted(listed()) == sorted(
        [("revoked", first, lost), waits, ("waiting", first, operators.fingerprints[first])]
    )
    (approved,) = operators.at_once(operators.approve(first))
    assert approved.code == 0, approved.said
