"""Coordinator and participants as processes on a real Kafka, killed with -9 in every phase of a round.

Every reading of the ledger on the way checks that the privacy spent only grows (`Processes.told`).
"""

import base64
import re
import secrets
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.federation.messages import Order
from federation.audit.history import History, decode_content, list_rounds
from federation.audit.ledger import hash_entry
from support.federation_kinds import Heading
from support.federation_processes import Processes, ended
from support.federation_proof import assert_counted_once, members_of, of_round

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.timeout(900)]
PHASES = ["plan", "key_list", "share_list", "survivors", "stage_over", "evaluated", "published"]
"""What the coordinator says when a phase begins: selected, the four stages of collecting, aggregated, published."""
MOMENTS = ["before", "during", "after"]
SAID = ["keys", "shares", "masked_update", "unmasking", "adoption"]
"""What a participant says in a masked round."""
EVERYWHERE = [("training", "during"), *((kind, moment) for kind in SAID for moment in ("before", "after"))]


@pytest.fixture
def processes(stack: Any, retailer_name: str, tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path, retailer_name.replace("shop", "f"), stack.endpoints["kafka"].uri, 4)
    try:
        yield made
    finally:
        made.stop()


@pytest.mark.parametrize(
    "cases",
    [
        pytest.param([(phase, MOMENTS[place % 3]) for place, phase in enumerate(PHASES[::2])], id="every-other-phase"),
        pytest.param(
            [(phase, MOMENTS[place % 3]) for place, phase in enumerate(PHASES)], id="each-phase", marks=pytest.mark.slow
        ),
        pytest.param(
            [(phase, moment) for phase in PHASES for moment in MOMENTS],
            id="each-phase-and-moment",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_killed_in_every_phase_each_round_still_ends_right_and_counts_nothing_twice(
    processes: Processes, cases: list[tuple[str, str]]
) -> None:
    processes.enrol_all()
    for shop in processes.names:
        processes.start(shop)
    for number, (phase, moment) in enumerate(cases, start=1):
        processes.order(Order(action="run", rounds=1))
        # The next one's coordinator ends this round first: each of them recovers from a kill.
        processes.start_dying_coordinator(number, phase, moment)
        processes.await_death("coordinator")
        victim = processes.names[number % 4]
        processes.kill(victim)
        processes.start(victim)
    processes.start_coordinator()
    # Killed after its last word, a coordinator leaves the next one nothing to do but to say that it is there.
    told = processes.await_told(
        lambda told: ended(told, len(cases)) and told.epoch > len(cases),
        "the end of the last round, and its coordinator",
    )
    assert told.audit.holds, told.audit.reason
    assert told.refused == 0
    lines = list_rounds(told.entries)
    assert [line.outcome for line in lines] == [f"model {number}" for number in range(1, len(cases) + 1)]
    for line in lines:
        assert_counted_once(told.entries, line.round)
        plans = [entry.attempt for entry in of_round(told.entries, line.round, "plan")]
        assert plans == list(range(len(plans))), "an attempt begins once"
    assert_the_commands_tell_of_it(processes, told)


def assert_the_commands_tell_of_it(processes: Processes, told: History) -> None:
    """Each command of both sides, on what the rounds have left; in the end nobody but two takes part."""

    def coordinator(*words: str) -> str:
        return processes.call(*words, "--config", str(processes.file("coordinator")))

    def retailer(*words: str) -> str:
        return processes.call(*words, "--config", str(processes.file(processes.names[0])))

    assert "every link holds" in coordinator("status")
    listed = retailer("rounds")
    assert all(line.outcome in listed for line in list_rounds(told.entries))
    spent = sum(entry.kind == "plan" for entry in told.entries)
    assert f"spent in {spent} attempts" in coordinator("budget")
    newest = told.entries[-1]
    assert "every link holds" in retailer("audit", "--head", f"{newest.index}:{hash_entry(newest).hex()}")
    with pytest.raises(AssertionError, match="the head noted earlier is no part of this chain"):
        retailer("audit", "--head", f"{newest.index}:{'0' * 64}")
    first, second, *stay = processes.names
    assert f"{first} has left" in retailer("leave", "--reason", "closing down")
    assert f"{second} is shut out" in coordinator("participants", "revoke", second)
    table = coordinator("participants", "list")
    standing = {name: status for status, name, *_ in map(str.split, table.splitlines())}
    assert standing == {first: "left", second: "revoked"} | dict.fromkeys(stay, "approved")


def test_of_two_coordinators_started_by_mistake_the_first_is_fenced_off(processes: Processes) -> None:
    processes.start_coordinator()
    first = processes.running.pop("coordinator")
    processes.await_told(lambda told: told.epoch == 1, "the first coordinator")
    processes.start_coordinator()
    processes.await_told(lambda told: told.epoch == 2, "the second coordinator")
    # Whatever it would say next is refused by the broker.
    processes.enrol_all()
    assert first.wait(120) == 3, "a supervisor can be told not to start it again"
    said = (processes.folder / "coordinator.log").read_text()
    assert "another process is coordinator" in said
    assert "ProducerFencedError" not in said, "the library's own words for it"
    told = processes.await_told(lambda told: told.roster is not None and len(told.roster.members) == 4, "the roster")
    assert told.epoch == 2
    assert told.audit.holds


@pytest.fixture(scope="module")
def federation(stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Of four, running; a test leaves it so, and every round ended."""
    folder = tmp_path_factory.mktemp("federation")
    made = Processes(folder, f"f-{secrets.token_hex(4)}", stack.endpoints["kafka"].uri, 4)
    try:
        made.enrol_all()
        made.start_coordinator()
        for shop in made.names:
            made.start(shop)
        yield made
    finally:
        made.stop()


@pytest.mark.parametrize(
    "cases",
    [
        pytest.param([("training", "during"), ("masked_update", "after")], id="two"),
        pytest.param(EVERYWHERE, id="each-phase-and-moment", marks=pytest.mark.slow),
    ],
)
def test_a_participant_killed_at_any_message_or_in_training_is_counted_once_or_not_at_all(
    federation: Processes, cases: list[tuple[str, str]]
) -> None:
    for number, (kind, moment) in enumerate(cases):
        victim = federation.names[number % 4]
        federation.start_dying(victim, kind, moment)
        fell = federation.await_deaths(victim)[victim]
        assert fell.kind == kind
        spent = federation.spends_of(victim)
        federation.start(victim)
        last = len(list_rounds(federation.told().entries))
        told = federation.await_told(lambda told, last=last: ended(told, last), "the end of the round")  # type: ignore[misc]
        assert federation.spends_of(victim)[: len(spent)] == spent, "its own count never goes down"
        if kind in ("training", "adoption"):
            continue
        assert (fell.round, fell.attempt) in spent, "counted before anything leaves"
        assert federation.sent().count(Heading(victim, kind, fell.round, fell.attempt)) == (moment == "after")
        closed = members_of(told.entries, fell.round, fell.attempt)
        assert all(victim in members for members in closed[: SAID.index(kind)]), "it had come so far"
        if moment == "before":
            assert all(victim not in members for members in closed[SAID.index(kind) :])
    assert_all_well(federation)


def assert_all_well(federation: Processes) -> None:
    """Every round that has ended has one model, and nobody said anything twice or without having counted what it costs."""
    told = federation.told()
    assert told.audit.holds, told.audit.reason
    rounds = list_rounds(told.entries)
    # Orders of the test before may run on.
    over = rounds[:-1] if rounds and rounds[-1].outcome == "under way" else rounds
    assert over
    for line in over:
        assert line.outcome.startswith("model "), line
        assert_counted_once(told.entries, line.round)
    answers = [one for one in federation.sent() if one.round]
    assert max(Counter(answers).values()) == 1
    for shop in federation.names:
        spends = federation.spends_of(shop)
        assert len(set(spends)) == len(spends), "an attempt is paid for once"
        assert {(one.round, one.attempt) for one in answers if one.sender == shop} <= set(spends)


def test_of_too_few_that_are_left_the_attempt_fails_cleanly_and_the_next_one_has_a_model(federation: Processes) -> None:
    first, second = federation.names[:2]
    for shop in (first, second):
        federation.start_dying(shop, "shares", "before")
    fell = federation.await_deaths(first, second)
    for shop in (first, second):
        federation.start(shop)
    number = max(heading.round for heading in fell.values())
    told = federation.await_told(lambda told: ended(told, number), "the end of the round")
    failures = [(entry.attempt, decode_content(entry)) for entry in of_round(told.entries, number, "failure")]
    attempt, content = failures[0]
    assert attempt == 0
    # Two live, and on a busy machine one of them may be late.
    assert re.fullmatch("shares: [0-2] answered in time, 3 are needed", content["reason"])
    assert not any(content["final"] for _, content in failures)
    (model,) = of_round(told.entries, number, "global_model")
    assert model.attempt == len(failures)
    assert_all_well(federation)


def test_in_mode_robust_an_update_counts_once_whether_its_sender_lives_or_not(federation: Processes) -> None:
    victim = federation.names[3]
    federation.kill("coordinator")
    federation.configure(mode="robust", robust={"rule": "mean"})
    federation.start_coordinator()
    try:
        federation.start_dying(victim, "update", "after")
        fell = federation.await_deaths(victim)[victim]
        told = federation.await_told(lambda told: ended(told, fell.round), "the end of the round")
        assert decode_content(of_round(told.entries, fell.round, "plan")[-1])["mode"] == "robust"
        assert federation.sent().count(fell) == 1
        federation.start(victim)
        federation.order(Order(action="run", rounds=1))
        federation.await_told(lambda told: ended(told, fell.round + 1), "the end of the next round")
        assert_all_well(federation)
    finally:
        federation.kill("coordinator")
        federation.configure()
        federation.start_coordinator()


def test_no_secret_stands_in_logs_in_databases_or_on_kafka(federation: Processes) -> None:
    if not list_rounds(federation.told().entries):
        federation.order(Order(action="run", rounds=1))
        federation.await_told(lambda told: ended(told, 1), "the end of the round")
    files = [file for file in federation.folder.iterdir() if file.is_file()]
    secret = {".key", ".passphrase"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files if file.suffix in secret} == {0o600}
    assert {".log", ".db"} <= {file.suffix for file in files}
    written = [file.read_bytes() for file in files if file.suffix != ".passphrase"] + federation.records()
    haystack = b"\n".join(written)
    for own in federation.secrets():
        for form in (own, own.hex().encode(), base64.b64encode(own)):
            assert form not in haystack
    assert federation.names[0].encode() in haystack, "what is no secret would be found"
