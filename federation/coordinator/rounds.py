"""One attempt of a round as a pure state machine: who may still speak, when a stage is over, what follows.

selected → collecting (one stage, or the four of masking) → aggregating → evaluated → published; failed from anywhere before.
Knows no clock, no message contents, no keys. `decide_stage` looks and changes nothing, so time that passes without a decision leaves
no trace, and a replay needs the arrivals and the decisions only. Invariant: `arrived` holds a sender once, and only such as
were members of the stage when it opened.
"""

from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from contract.errors import InvariantError
from contract.federation.fields import STAGES, Stage
from contract.federation.settings import Mode

Status = Literal["selected", "collecting", "aggregating", "evaluated", "published", "failed"]
OPEN: tuple[Status, ...] = ("selected", "collecting")
ENDED: tuple[Status, ...] = ("published", "failed")


class StageRules(NamedTuple):
    """When a stage is over; times in ms from its opening."""

    count_min: int
    count_max: int
    min_ms: int
    max_ms: int


class RoundRules(NamedTuple):
    """What holds for every attempt of a round."""

    mode: Mode
    stages: dict[Stage, StageRules]
    """One for each of `STAGES[mode]`."""
    more_than: tuple[int, int] = (0, 1)
    """Of those who ended the first stage, more than this fraction must stay: (2, 3) where masks are on a complete graph."""


class RoundState(Struct, frozen=True, kw_only=True):
    """Where an attempt stands."""

    round: int
    attempt: int
    mode: Mode
    cohort: tuple[str, ...]
    status: Status
    stage: Stage | None
    """What is waited for, while selected or collecting."""
    opened_ms: int
    """When the stage, or the status where there is none, began."""
    members: tuple[str, ...]
    """Who may answer in this stage."""
    arrived: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    """Refused, left or revoked in this attempt."""
    entered: int = 0
    """How many ended the first stage; 0 before."""
    reason: str = ""
    """Why it failed."""


class StageClosed(NamedTuple):
    """The stage is over; `members` continue, in the order of the cohort."""

    stage: Stage
    members: tuple[str, ...]


class AttemptFailed(NamedTuple):
    """Too few are left, or the work on what arrived failed."""

    reason: str


class Moved(NamedTuple):
    """The work of a status is done."""

    to: Literal["evaluated", "published"]


Transition = StageClosed | AttemptFailed | Moved


def begin(round_number: int, attempt: int, rules: RoundRules, cohort: tuple[str, ...], at_ms: int) -> RoundState:
    """A new attempt, its first stage open; `cohort` holds at least one name and none twice."""
    if not cohort or len(set(cohort)) != len(cohort):
        raise InvariantError("a cohort is not empty and names nobody twice")
    return RoundState(
        round=round_number,
        attempt=attempt,
        mode=rules.mode,
        cohort=cohort,
        status="selected",
        stage=STAGES[rules.mode][0],
        opened_ms=at_ms,
        members=cohort,
    )


def find_objection(
    state: RoundState | None, round_number: int, attempt: int, sender: str, stage: Stage | None
) -> str | None:
    """Why a message of this attempt must be dropped (a code of DROP_REASONS), or None; `stage` None: a refusal."""
    if state is None or (round_number, attempt) != (state.round, state.attempt) or state.status in ENDED:
        return "wrong_round"
    if sender not in state.cohort or sender in state.gone:
        return "not_selected"
    if state.status not in OPEN or stage not in (None, state.stage):
        return "wrong_stage"
    if sender not in state.members:
        return "not_selected"
    return "duplicate" if sender in state.arrived else None


def record_arrival(state: RoundState, sender: str) -> RoundState:
    """`sender` has answered the open stage; only where `find_objection` has none."""
    if state.status not in OPEN or sender not in state.members or sender in state.arrived or sender in state.gone:
        raise InvariantError(f"{sender} cannot answer in {state.status}")
    return replace(state, status="collecting", arrived=(*state.arrived, sender))


def leave(state: RoundState, sender: str) -> RoundState:
    """`sender` answers no more in this attempt; what it has sent in an open stage is not used. Harmless for strangers."""
    if state.status not in OPEN or sender not in state.members or sender in state.gone:
        return state
    arrived = tuple(name for name in state.arrived if name != sender)
    return replace(state, arrived=arrived, gone=(*state.gone, sender))


def count_required(state: RoundState, rules: RoundRules) -> int:
    """How many must answer the open stage."""
    if state.stage is None:
        raise InvariantError(f"{state.status} waits for nobody")
    part, whole = rules.more_than
    after_first = state.entered * part // whole + 1 if part and state.entered else 0
    return max(rules.stages[state.stage].count_min, after_first)


def decide_stage(state: RoundState, rules: RoundRules, now_ms: int) -> StageClosed | AttemptFailed | None:
    """What the passage of time or the arrivals have decided, if anything.

    Everyone is waited for while `min_ms` runs, unless all have answered or no more are taken; then the least number is
    enough; at `max_ms` it must be there.
    """
    if state.status not in OPEN or state.stage is None:
        return None
    stage = rules.stages[state.stage]
    needed = count_required(state, rules)
    possible = len(state.members) - sum(name in state.members for name in state.gone)
    if min(possible, stage.count_max) < needed:
        return AttemptFailed(f"{_named(state)}: {possible} can still answer, {needed} are needed")
    answered = len(state.arrived)
    waited_ms = now_ms - state.opened_ms
    if answered >= needed and (answered >= min(possible, stage.count_max) or waited_ms >= stage.min_ms):
        taken = set(state.arrived[: stage.count_max])
        return StageClosed(state.stage, tuple(name for name in state.cohort if name in taken))
    if waited_ms >= stage.max_ms:
        return AttemptFailed(f"{_named(state)}: {answered} answered in time, {needed} are needed")
    return None


def _named(state: RoundState) -> str:
    """The open stage, and the settings to change where they bear another name (federation.coordinator.attempt.build_rules)."""
    return "updates (ruled by federation.rounds.keys)" if state.mode == "robust" else str(state.stage)


def advance(state: RoundState, transition: Transition, at_ms: int) -> RoundState:
    """The state after a decision that stands on the log; raises InvariantError for one that cannot follow."""
    if state.status in ENDED:
        raise InvariantError(f"{type(transition).__name__} after {state.status}")
    if isinstance(transition, AttemptFailed):
        return replace(state, status="failed", stage=None, opened_ms=at_ms, reason=transition.reason)
    if isinstance(transition, Moved):
        before: dict[str, Status] = {"evaluated": "aggregating", "published": "evaluated"}
        if state.status != before[transition.to]:
            raise InvariantError(f"{transition.to} after {state.status}")
        return replace(state, status=transition.to, opened_ms=at_ms)
    return _close(state, transition, at_ms)


def _close(state: RoundState, closed: StageClosed, at_ms: int) -> RoundState:
    if state.status not in OPEN or closed.stage != state.stage or not set(closed.members) <= set(state.arrived):
        raise InvariantError(f"{closed.stage} cannot close in {state.status}, {state.stage}")
    stages = STAGES[state.mode]
    following = stages.index(closed.stage) + 1
    last = following == len(stages)
    return replace(
        state,
        status="aggregating" if last else "collecting",
        stage=None if last else stages[following],
        opened_ms=at_ms,
        members=closed.members,
        arrived=(),
        entered=state.entered or len(closed.members),
    )
