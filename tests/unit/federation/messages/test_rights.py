"""The table of who may say what: an answer for every type of message, every log and every kind of sender."""

from itertools import product
from operator import attrgetter
from typing import get_args

import pytest

from contract.federation.fields import COORDINATOR, OPERATOR
from contract.federation.messages import EnrolmentRequest, Message, get_type_name
from contract.federation.reasons import DROP_REASONS
from federation.messages.rights import OFFICES, RIGHTS, TYPES, Office, find_objection, find_office, may_write
from federation.transports.ports import LOGS, LogName


def test_the_table_has_a_cell_for_every_log_and_kind_of_sender_and_knows_every_type() -> None:
    assert set(RIGHTS) == set(LOGS)
    assert all(set(cells) == set(OFFICES) for cells in RIGHTS.values())
    assert set(get_args(Message)) == TYPES


@pytest.mark.parametrize("kind", sorted(TYPES, key=attrgetter("__name__")), ids=get_type_name)
def test_every_type_of_message_has_one_log_and_is_refused_with_a_reason_everywhere_else(kind: type) -> None:
    allowed = {(log, office) for log, office in product(LOGS, OFFICES) if kind in RIGHTS[log][office]}
    assert len({log for log, _ in allowed}) == 1
    for log, office in product(LOGS, OFFICES):
        reason = find_objection(log, get_type_name(kind), office)
        assert reason is None if (log, office) in allowed else reason in DROP_REASONS


def test_a_stranger_may_only_ask_to_take_part_and_nobody_but_the_coordinator_writes_its_logs() -> None:
    assert RIGHTS["updates"]["stranger"] == {EnrolmentRequest}
    own: tuple[LogName, ...] = ("control", "models", "ledger")
    assert all(may_write(log, office) == (office == "coordinator") for log, office in product(own, OFFICES))
    assert not may_write("updates", "coordinator")


def test_a_stranger_is_unknown_where_a_member_might_speak_and_has_no_right_elsewhere() -> None:
    assert find_objection("updates", "withdrawal", "stranger") == "unknown_sender"
    assert find_objection("updates", "order", "stranger") == "no_right"
    assert find_objection("control", "claim", "stranger") == "no_right"
    assert find_objection("control", "claim", "member") == "no_right"


@pytest.mark.parametrize("kind", ["", "plans", "Claim", "x" * 32])
def test_a_type_that_no_message_has_is_malformed(kind: str) -> None:
    assert {find_objection(log, kind, office) for log, office in product(LOGS, OFFICES)} == {"malformed"}


@pytest.mark.parametrize(
    ("name", "on_roster", "office"),
    [
        (COORDINATOR, False, "coordinator"),
        (COORDINATOR, True, "coordinator"),
        (OPERATOR, True, "operator"),
        ("harbour", True, "member"),
        ("harbour", False, "stranger"),
        ("coordinator-2", False, "stranger"),
    ],
)
def test_a_reserved_name_is_an_office_whatever_a_roster_says(name: str, on_roster: bool, office: Office) -> None:
    assert find_office(name, on_roster=on_roster) == office
