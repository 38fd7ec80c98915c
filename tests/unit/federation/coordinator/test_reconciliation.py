"""What a coordinator makes good of what participants may have followed and that does not count."""

import pytest

from contract.errors import InvariantError
from contract.federation.messages import Failure, Member, Roster
from federation.coordinator.journal import Followed, Journal
from federation.coordinator.reconciliation import UNFINISHED, find_unpaid, list_messages
from federation.coordinator.recording import Say
from federation.coordinator.state import CoordinatorState
from federation.messages.global_weights import GlobalWeights
from support.robust_round import robust_plan

LOST = "records of the federation's topics are lost"


def state(number: int = 3, attempt: int = 1, *, begun: bool = True) -> CoordinatorState:
    """Where round 3 waits for its second attempt."""
    return CoordinatorState(
        model=GlobalWeights(version=0, shapes=(), payload=b""), round_number=number, attempt=attempt, begun=begun, roster_version=4
    )  # fmt: skip


def journal(plan: tuple[int, int] | None = None, roster: int = 0, spoken_of: tuple[int, int] = (0, 0)) -> Journal:
    found = Journal()
    found.followed = Followed(robust_plan(round=plan[0], attempt=plan[1]) if plan else None, roster)
    found.spoken_of = spoken_of
    return found


@pytest.mark.parametrize(
    ("plan", "begun", "unpaid"),
    [
        (None, True, False), ((3, 0), True, False), ((2, 9), True, False), ((3, 1), True, True),
        ((3, 1), False, False), ((4, 0), False, True),
    ],
)  # fmt: skip
def test_a_plan_is_unpaid_where_it_is_of_the_attempt_that_comes_next(
    plan: tuple[int, int] | None, *, begun: bool, unpaid: bool
) -> None:
    found = find_unpaid(journal(plan), state(begun=begun), under_way=False)
    assert (found.plan is not None) == unpaid


@pytest.mark.parametrize(
    ("plan", "begun", "under_way"), [((3, 2), True, False), ((4, 0), True, False), ((4, 1), False, False), ((3, 1), True, True)]
)  # fmt: skip
def test_a_plan_beyond_the_next_attempt_or_beside_one_under_way_was_built_upon_what_is_lost(
    plan: tuple[int, int], *, begun: bool, under_way: bool
) -> None:
    with pytest.raises(InvariantError, match=LOST):
        find_unpaid(journal(plan), state(begun=begun), under_way=under_way)


def test_nobody_speaks_of_an_attempt_before_it_began() -> None:
    find_unpaid(journal(spoken_of=(3, 0)), state(), under_way=False)
    for spoken_of in ((3, 1), (3, 2), (4, 0)):
        with pytest.raises(InvariantError, match="round 3 attempt 1 began"):
            find_unpaid(journal(spoken_of=spoken_of), state(), under_way=False)


def test_a_roster_newer_than_the_one_that_counts_was_followed() -> None:
    for version, unpaid in ((3, 0), (4, 0), (5, 5)):
        assert find_unpaid(journal(roster=version), state(), under_way=False).roster_version == unpaid


def test_where_nothing_was_followed_nothing_is_said() -> None:
    assert list_messages(Followed(), state(), attempts_max=3) == []


def test_a_roster_is_followed_by_a_newer_one_with_everybody_in_it() -> None:
    made = state()
    for name in ("berta", "alma"):
        made.members[name] = Member(
            name=name, signing_key=bytes(1952), sealing_key=bytes(64), allow_robust=False, status="approved", since_ms=0
        )
    (said,) = list_messages(Followed(roster_version=7), made, attempts_max=3)
    assert said == Say("control", Roster(version=8, members=(made.members["alma"], made.members["berta"])))


@pytest.mark.parametrize(("attempt", "final"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_plan_is_announced_in_full_and_ends_as_failed(attempt: int, *, final: bool) -> None:
    plan = robust_plan(round=3, attempt=attempt)
    assert list_messages(Followed(plan), state(), attempts_max=3) == [
        Say("control", plan, 3, attempt),
        Say("control", Failure(reason=UNFINISHED, final=final), 3, attempt),
    ]
