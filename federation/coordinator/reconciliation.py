"""What a coordinator says first where participants may have followed a decision that does not count. Pure.

Its transaction failed, somebody appended copies of some of its records, and until the next claim participants could not tell;
or it counted, and the rest of it is lost. In either case what they may have heard is never said in another meaning:
a plan is announced in full and ends as failed, so its privacy is paid for, in the ledger, too, and no later attempt bears its
number; a roster is followed by a newer one. Lists, models and figures need nothing: they are of an attempt whose plan counts,
a participant answers one list of each stage, and a model made again from the same messages is the same.
"""

from contract.errors import InvariantError
from contract.federation.messages import Failure, Roster
from federation.coordinator.journal import Followed, Journal
from federation.coordinator.recording import Say
from federation.coordinator.state import CoordinatorState

UNFINISHED = "its announcement is not there in full"


def find_unpaid(journal: Journal, state: CoordinatorState, *, under_way: bool) -> Followed:
    """What was followed and is not in `state`, where the logs have been read and what counts of them has been applied.

    Raises InvariantError where it can only have followed upon decisions that are lost. `under_way`: whether an attempt is.
    """
    awaited = (state.round_number, state.attempt) if state.begun else (state.round_number + 1, 0)
    plan, version = journal.followed
    if plan is not None and (plan.round, plan.attempt) < awaited:
        plan = None
    beyond = plan is not None and ((plan.round, plan.attempt) > awaited or under_way)
    if beyond or journal.spoken_of >= awaited:
        raise InvariantError(
            f"round {awaited[0]} attempt {awaited[1]} began, and its plan does not stand in the ledger:"
            " records of the federation's topics are lost; restore them"
        )
    return Followed(plan, version if version > state.roster_version else 0)


def list_messages(followed: Followed, state: CoordinatorState, *, attempts_max: int) -> list[Say]:
    """Empty where nothing is to be made good."""
    found: list[Say] = []
    if followed.roster_version:
        members = tuple(member for _, member in sorted(state.members.items()))
        found.append(Say("control", Roster(version=followed.roster_version + 1, members=members)))
    plan = followed.plan
    if plan is not None:
        failure = Failure(reason=UNFINISHED, final=plan.attempt + 1 >= attempts_max)
        found += [Say("control", message, plan.round, plan.attempt) for message in (plan, failure)]
    return found
