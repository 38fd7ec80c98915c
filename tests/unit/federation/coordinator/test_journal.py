"""Which decisions of coordinators stand in the logs, and what participants may have followed of those that do not."""

from collections.abc import Iterable
from itertools import permutations
from typing import NamedTuple

import msgspec
import pytest

from contract.errors import InvariantError
from contract.federation.frames import Envelope, SignedEnvelope
from contract.federation.messages import (
    Claim,
    CoordinatorMessage,
    Failure,
    GlobalModel,
    Halted,
    LedgerEntry,
    Published,
    Roster,
    SealedShare,
    SiteModels,
    StageOver,
    Step,
    TensorShape,
    encode_message,
    get_type_name,
)
from federation.audit.ledger import Head, make_head_after
from federation.coordinator.journal import Decision, Followed, Journal
from federation.coordinator.recording import Say, build_entries
from federation.coordinator.state import CoordinatorState
from federation.messages.envelope import Opened
from federation.messages.global_weights import GlobalWeights
from federation.messages.identity import PublicIdentity
from federation.transports.ports import LogName
from support.robust_round import robust_plan

KEYS = PublicIdentity(name="coordinator", signing_key=bytes(1952), sealing_key=bytes(64))
SHAPES = (TensorShape(name="w", shape=(1,)),)
CLAIM = Claim(instance="one", signing_key=KEYS.signing_key, sealing_key=KEYS.sealing_key)
ROSTER = Roster(version=1, members=())
PLAN = robust_plan(round=1, attempt=0, base_version=0)
FAILURE = Failure(reason="time", final=False)
PUBLISHED = Published(model_version=1, payload_sha256=bytes(32))
SHOWN = SiteModels(
    model_version=1, shapes=SHAPES, shown=("alma", "berta"), keys=(SealedShare(recipient="alma", sealed=b"k"),), box=b"models"
)  # fmt: skip
Record = tuple[LogName, Opened]


def model(version: int, base: int) -> GlobalModel:
    return GlobalModel(
        model_version=version,
        base_version=base,
        shapes=SHAPES,
        payload=bytes(4),
        participants=3,
        weight=1.0,
        metrics={},
    )


def heard(message: CoordinatorMessage, epoch: int = 1, at_ms: int = 0, number: int = 0, attempt: int = 0) -> Opened:
    envelope = Envelope(
        version=1, federation="f", type=get_type_name(message), round=number, attempt=attempt, sender="coordinator",
        recipient=None, sent_at_ms=at_ms, epoch=epoch, body=encode_message(message),
    )  # fmt: skip
    return Opened(envelope, message, KEYS, SignedEnvelope(envelope=msgspec.msgpack.encode(envelope), signature=b""))


class Told(NamedTuple):
    """A decision as it stands on the logs."""

    records: list[Record]
    head: Head
    """After it."""

    def without(self, *kinds: str) -> list[Record]:
        return [one for one in self.records if one[1].envelope.type not in kinds]


def told(start: Head, epoch: int, at_ms: int, *messages: CoordinatorMessage) -> Told:
    """What a coordinator that stands at `start` says with `messages`."""
    state = CoordinatorState(model=GlobalWeights(version=0, shapes=SHAPES, payload=bytes(4)), ledger=start)
    logs: dict[type, LogName] = {GlobalModel: "models"}
    number = 0 if isinstance(messages[0], Claim | Roster) else 1
    said = [Say(logs.get(type(one), "control"), one, number) for one in messages]
    entries = build_entries(state, said, None, at_ms)
    last = entries[-1].message
    assert isinstance(last, LedgerEntry)
    step = Step(updates_offset=0, ledger_index=last.index + 1)
    records = [
        (one.log, heard(one.message, epoch, at_ms, one.round)) for one in [Say("control", step), *said, *entries]
    ]
    return Told(records, make_head_after(last))


def read(records: Iterable[Record], head: Head | None = None, epoch: int = 0) -> tuple[Journal, list[Decision]]:
    journal = Journal(epoch)
    for log, opened in records:
        journal.take(log, opened)
    return journal, journal.read_decisions(head or Head(), epoch)


def kinds(decisions: Iterable[Decision]) -> list[list[str]]:
    return [[get_type_name(say.message) for say in one.said if say.log != "ledger"] for one in decisions]


FIRST = told(Head(), 1, 10, CLAIM, model(0, 0))
SECOND = told(FIRST.head, 1, 20, ROSTER)
THIRD = told(SECOND.head, 1, 30, PLAN)
ENDED = told(THIRD.head, 1, 40, PUBLISHED, model(1, 0))
CHAIN = [FIRST, SECOND, THIRD, ENDED]


def test_whole_decisions_stand_in_the_order_of_the_ledger_in_whatever_order_they_are_read() -> None:
    for order in permutations(CHAIN):
        journal, found = read([record for one in order for record in one.records])
        assert kinds(found) == [["claim", "global_model"], ["roster"], ["plan"], ["published", "global_model"]]
        assert [(one.epoch, one.at_ms) for one in found] == [(1, 10), (1, 20), (1, 30), (1, 40)]
        entries = [say.message for one in found for say in one.said if say.log == "ledger"]
        assert [entry.index for entry in entries if isinstance(entry, LedgerEntry)] == list(range(len(entries)))
        assert (journal.epoch, journal.dropped) == (1, 0)


def test_after_a_checkpoint_only_what_follows_its_head_is_read() -> None:
    _, found = read([record for one in CHAIN for record in one.records], SECOND.head, 1)
    assert kinds(found) == [["plan"], ["published", "global_model"]]
    assert read(FIRST.records + SECOND.records, SECOND.head, 1)[1] == []


def test_records_that_come_again_or_stand_on_another_log_are_none() -> None:
    logs: tuple[LogName, ...] = ("control", "models", "ledger", "updates")
    moved = [(log, opened) for own, opened in THIRD.records for log in logs if log != own]
    assert read(FIRST.records + SECOND.records + moved)[1] == read(FIRST.records + SECOND.records)[1]
    again = [record for one in CHAIN for record in one.records * 2]
    assert read(again)[1] == read([record for one in CHAIN for record in one.records])[1]


@pytest.mark.parametrize("lost", ["step", "plan", "ledger"])
def test_the_newest_decision_of_which_something_is_missing_does_not_count(lost: str) -> None:
    before = FIRST.records + SECOND.records
    journal, found = read(before + THIRD.without(lost))
    assert found == read(before)[1]
    assert journal.dropped == {"step": 1, "plan": 2, "ledger": 2}[lost]
    assert journal.followed == Followed(None if lost == "plan" else PLAN, 1)


def test_what_was_published_does_not_count_without_its_model_nor_the_model_without_the_word_for_it() -> None:
    before = [record for one in CHAIN[:-1] for record in one.records]
    for lost in ("global_model", "published"):
        assert read(before + ENDED.without(lost))[1] == read(before)[1]


@pytest.mark.parametrize("place", [-1, -2])
def test_each_entry_of_a_decision_must_be_there(place: int) -> None:
    """Of the first, which has two."""
    records = [one for one in FIRST.records if one is not FIRST.records[place]]
    assert read(records)[1] == []


def test_of_two_that_follow_the_same_the_one_counts_upon_which_most_was_built() -> None:
    rival = told(FIRST.head, 2, 25, CLAIM)
    records = FIRST.records + SECOND.records + rival.records
    _, found = read(records)
    assert [one.epoch for one in found] == [1, 2], "as much was built upon both: the later"
    journal, found = read(records + THIRD.records)
    assert [one.at_ms for one in found] == [10, 20, 30]
    assert journal.dropped == 0, "it lies before the end of the chain"


@pytest.mark.parametrize("lost", ["step", "roster", "ledger"])
def test_nothing_is_read_where_what_others_were_built_upon_is_there_in_part(lost: str) -> None:
    with pytest.raises(InvariantError, match=f"after entry {FIRST.head.following - 1} of the ledger"):
        read(FIRST.records + SECOND.without(lost) + THIRD.records)


def test_a_later_coordinator_may_have_left_the_beginning_of_its_claim_and_nothing_else() -> None:
    begun = told(SECOND.head, 2, 50, CLAIM)
    more = told(begun.head, 2, 60, FAILURE)
    before = FIRST.records + SECOND.records
    assert read(before + begun.without("step"))[1] == read(before)[1]
    for lost in (more.records, told(SECOND.head, 2, 60, FAILURE).without("step")):
        with pytest.raises(InvariantError, match="records of the federation's topics are lost"):
            read(before + lost)


def test_of_one_epoch_one_decision_may_be_there_in_part_and_not_two() -> None:
    torn = [told(SECOND.head, 1, at_ms, FAILURE).without("step") for at_ms in (60, 70)]
    before = FIRST.records + SECOND.records
    assert read(before + torn[0])[1] == read(before)[1]
    with pytest.raises(InvariantError, match="records of the federation's topics are lost"):
        read(before + torn[0] + torn[1])


def test_what_an_earlier_coordinator_left_behind_is_no_loss() -> None:
    later = told(SECOND.head, 2, 50, CLAIM)
    journal, found = read(FIRST.records + SECOND.records + later.records + THIRD.without("step"))
    assert [one.epoch for one in found] == [1, 1, 2]
    assert journal.dropped == 0


def test_a_copy_of_a_decision_in_another_order_is_applied_as_the_ledger_tells_it() -> None:
    whole = told(SECOND.head, 1, 30, PUBLISHED, model(1, 0), SHOWN)
    step, *said = whole.records
    before = FIRST.records + SECOND.records
    for order in permutations(said):
        found = read([*before, step, *order])[1]
        assert kinds(found)[2] == ["published", "global_model", "site_models"]
        assert found == read(before + whole.records)[1]


def test_of_models_that_were_shown_neither_they_nor_their_keys_are_kept() -> None:
    found = read(FIRST.records + told(FIRST.head, 1, 20, SHOWN).records)[1]
    assert found[1].said[0].message == msgspec.structs.replace(SHOWN, keys=(), box=b"")


def followed(*records: Opened, epoch: int = 0) -> Followed:
    journal = Journal(epoch)
    for one in records:
        journal.take("control", one)
    return journal.followed


def test_a_participant_follows_the_first_plan_of_the_newest_attempt() -> None:
    second, other = robust_plan(round=1, attempt=1), robust_plan(round=1, attempt=0, seed=9)
    assert followed(heard(PLAN), heard(other)).plan == PLAN
    assert followed(heard(PLAN), heard(second), heard(other)).plan == second
    assert followed(heard(second), heard(robust_plan(round=2, attempt=0))).plan == robust_plan(round=2, attempt=0)


def test_after_a_claim_nothing_of_an_earlier_coordinator_is_followed() -> None:
    newer = Roster(version=5, members=())
    assert followed(heard(CLAIM, 2), heard(PLAN), heard(newer)) == Followed()
    assert followed(heard(CLAIM, 2), heard(PLAN, 2), heard(newer, 2), heard(ROSTER, 2)) == Followed(PLAN, 5)
    assert followed(heard(PLAN), heard(newer), heard(CLAIM, 2), heard(CLAIM, 1, 5)) == Followed(PLAN, 5)
    assert followed(heard(PLAN, 2), heard(newer, 2), epoch=3) == Followed()


def test_what_speaks_of_an_attempt_is_remembered_but_for_its_plan_and_its_failure() -> None:
    journal = Journal()
    for silent in (PLAN, FAILURE, Halted(reason="privacy"), CLAIM):
        journal.take("control", heard(silent, number=7, attempt=1))
    assert journal.spoken_of == (0, 0)
    for number, attempt in ((7, 1), (6, 2), (7, 0)):
        journal.take("control", heard(StageOver(stage="updates", members=()), number=number, attempt=attempt))
    assert journal.spoken_of == (7, 1)
