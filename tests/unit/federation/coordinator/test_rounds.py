import itertools
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import InvariantError
from contract.federation.fields import STAGES
from contract.federation.reasons import DROP_REASONS
from contract.federation.settings import Mode
from federation.coordinator.rounds import (
    AttemptFailed,
    Moved,
    RoundRules,
    RoundState,
    StageClosed,
    StageRules,
    advance,
    begin,
    count_required,
    decide_stage,
    find_objection,
    leave,
    record_arrival,
)

COHORT = ("ada", "bea", "cid", "dan")
ROBUST = "updates (ruled by federation.rounds.keys)"
"""A failure names the settings that can fix it."""


def rules_of(mode: Mode, count_min: int = 2, count_max: int = 4, min_ms: int = 10, max_ms: int = 100) -> RoundRules:
    stage = StageRules(count_min, count_max, min_ms, max_ms)
    share = (2, 3) if mode == "masked" else (0, 1)
    return RoundRules(mode, dict.fromkeys(STAGES[mode], stage), share)


def robust(**changes: int) -> tuple[RoundState, RoundRules]:
    rules = rules_of("robust", **changes)
    return begin(3, 1, rules, COHORT, 1_000), rules


def answered(state: RoundState, *names: str) -> RoundState:
    for name in names:
        state = record_arrival(state, name)
    return state


def test_an_attempt_begins_as_selected_and_collects_from_its_first_answer() -> None:
    state, _ = robust()
    assert (state.status, state.stage) == ("selected", "updates")
    assert record_arrival(state, "ada").status == "collecting"


def test_while_the_least_time_runs_everyone_is_waited_for() -> None:
    state, rules = robust()
    assert decide_stage(answered(state, "ada", "bea", "cid"), rules, 1_009) is None


def test_after_the_least_time_the_least_number_is_enough() -> None:
    state, rules = robust()
    assert decide_stage(answered(state, "cid", "ada"), rules, 1_010) == StageClosed("updates", ("ada", "cid"))
    assert decide_stage(answered(state, "ada"), rules, 1_010) is None


def test_all_answers_close_a_stage_at_once() -> None:
    state, rules = robust()
    assert decide_stage(answered(state, *reversed(COHORT)), rules, 1_000) == StageClosed("updates", COHORT)


def test_no_more_than_the_largest_number_is_taken_and_it_closes_the_stage() -> None:
    state, rules = robust(count_max=2)
    assert decide_stage(answered(state, "dan", "bea", "ada"), rules, 1_000) == StageClosed("updates", ("bea", "dan"))


def test_at_the_greatest_time_too_few_fail_with_the_numbers() -> None:
    state, rules = robust()
    assert decide_stage(answered(state, "ada"), rules, 1_100) == AttemptFailed(
        f"{ROBUST}: 1 answered in time, 2 are needed"
    )


def test_an_attempt_fails_at_once_when_too_few_can_still_answer() -> None:
    state, rules = robust(count_min=3)
    state = leave(leave(state, "ada"), "bea")
    assert decide_stage(state, rules, 1_000) == AttemptFailed(f"{ROBUST}: 2 can still answer, 3 are needed")


def test_those_who_are_gone_are_not_waited_for_and_their_answers_do_not_count() -> None:
    state, rules = robust()
    state = leave(answered(state, "ada", "bea", "cid"), "ada")
    assert decide_stage(state, rules, 1_000) is None
    assert decide_stage(record_arrival(state, "dan"), rules, 1_000) == StageClosed("updates", ("bea", "cid", "dan"))
    assert find_objection(state, 3, 1, "ada", "updates") == "not_selected"


@pytest.mark.parametrize(
    ("round_number", "attempt", "sender", "stage", "expected"),
    [
        (2, 1, "bea", "updates", "wrong_round"),
        (4, 1, "bea", "updates", "wrong_round"),
        (3, 0, "bea", "updates", "wrong_round"),
        (3, 2, "bea", "updates", "wrong_round"),
        (3, 1, "eve", "updates", "not_selected"),
        (3, 1, "bea", "keys", "wrong_stage"),
        (3, 1, "ada", "updates", "duplicate"),
        (3, 1, "bea", "updates", None),
        (3, 1, "bea", None, None),
    ],
)
def test_only_a_first_answer_of_a_member_in_the_open_stage_counts(
    round_number: int, attempt: int, sender: str, stage: str | None, expected: str | None
) -> None:
    state, _ = robust()
    reason = find_objection(record_arrival(state, "ada"), round_number, attempt, sender, stage)  # type: ignore[arg-type]
    assert reason == expected
    assert reason is None or reason in DROP_REASONS


def test_nothing_counts_where_no_round_runs() -> None:
    state, _ = robust()
    assert find_objection(None, 3, 1, "ada", "updates") == "wrong_round"
    assert find_objection(advance(state, AttemptFailed("x"), 1_001), 3, 1, "ada", "updates") == "wrong_round"


def test_masking_runs_through_its_four_stages_to_a_published_model() -> None:
    rules = rules_of("masked")
    state = begin(1, 0, rules, COHORT, 0)
    for stage in STAGES["masked"]:
        assert state.stage == stage
        state = answered(state, "ada", "bea", "cid")
        closed = decide_stage(state, rules, 10 if stage == "keys" else 0)
        assert closed is not None
        state = advance(state, closed, 0)
    assert (state.status, state.members) == ("aggregating", ("ada", "bea", "cid"))
    state = advance(state, Moved("evaluated"), 5)
    assert advance(state, Moved("published"), 6).status == "published"


def test_in_masking_more_than_two_thirds_of_those_who_began_must_stay() -> None:
    rules = rules_of("masked")
    state = answered(begin(1, 0, rules, COHORT, 0), *COHORT)
    state = advance(state, StageClosed("keys", COHORT), 0)
    assert count_required(state, rules) == 3
    assert decide_stage(answered(state, "ada", "bea"), rules, 50) is None
    assert decide_stage(answered(state, "ada", "bea"), rules, 100) == AttemptFailed(
        "shares: 2 answered in time, 3 are needed"
    )


def test_a_straggler_of_one_stage_has_no_part_in_the_next() -> None:
    rules = rules_of("masked")
    state = advance(answered(begin(1, 0, rules, COHORT, 0), *COHORT[:3]), StageClosed("keys", COHORT[:3]), 10)
    assert find_objection(state, 1, 0, "dan", "shares") == "not_selected"
    assert find_objection(state, 1, 0, "dan", "keys") == "wrong_stage"


@pytest.mark.parametrize(
    "transition", [Moved("evaluated"), Moved("published"), StageClosed("keys", ()), StageClosed("updates", ("eve",))]
)
def test_a_decision_that_cannot_follow_stops_the_coordinator(transition: Moved | StageClosed) -> None:
    state, _ = robust()
    with pytest.raises(InvariantError):
        advance(state, transition, 1_001)


@pytest.mark.parametrize("transition", [AttemptFailed("again"), Moved("published"), StageClosed("updates", ())])
def test_nothing_follows_an_end(transition: AttemptFailed | Moved | StageClosed) -> None:
    state, _ = robust()
    with pytest.raises(InvariantError):
        advance(advance(state, AttemptFailed("first"), 1), transition, 2)


def test_an_answer_twice_or_of_a_stranger_is_a_programmer_s_error() -> None:
    state, _ = robust()
    wrongs: list[Callable[[], object]] = [lambda: record_arrival(state, "eve"), lambda: answered(state, "ada", "ada")]
    for wrong in wrongs:
        with pytest.raises(InvariantError):
            wrong()


@pytest.mark.parametrize("cohort", [(), ("ada", "ada")])
def test_an_empty_or_doubled_cohort_never_begins(cohort: tuple[str, ...]) -> None:
    with pytest.raises(InvariantError):
        begin(1, 0, rules_of("robust"), cohort, 0)


def test_a_state_survives_the_store() -> None:
    state, _ = robust()
    state = leave(record_arrival(state, "ada"), "bea")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=RoundState) == state


def test_every_order_of_answers_and_losses_ends_the_same_way() -> None:
    rules = rules_of("robust", count_min=2, min_ms=10)
    events = [("arrive", "ada"), ("arrive", "bea"), ("leave", "cid"), ("leave", "dan")]
    outcomes = set()
    for order in itertools.permutations(events):
        state = begin(1, 0, rules, COHORT, 0)
        for kind, name in order:
            state = record_arrival(state, name) if kind == "arrive" else leave(state, name)
        outcomes.add(decide_stage(state, rules, 0))
    assert outcomes == {StageClosed("updates", ("ada", "bea"))}


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from([*COHORT, "eve"]), st.sampled_from([*STAGES["masked"], None])),
        st.tuples(st.just("wait"), st.integers(0, 120), st.none()),
        st.tuples(st.just("work"), st.booleans(), st.none()),
    ),
    max_size=60,
)


@given(EVENTS, st.sampled_from(["masked", "robust"]), st.integers(1, 4), st.integers(1, 4))
def test_whatever_happens_the_promises_of_a_round_hold(
    events: list[tuple[str, object, object]], mode: Mode, low: int, high: int
) -> None:
    rules = rules_of(mode, count_min=min(low, high), count_max=max(low, high))
    state, now = begin(1, 0, rules, COHORT, 0), 0
    counted: set[tuple[str, object]] = set()
    for kind, what, stage in events:
        if kind == "say" and find_objection(state, 1, 0, str(what), stage) is None:  # type: ignore[arg-type]
            if stage is None:
                state = leave(state, str(what))
            else:
                assert (str(what), stage) not in counted
                counted.add((str(what), stage))
                state = record_arrival(state, str(what))
        elif kind == "wait":
            now += int(str(what))
        elif kind == "work" and state.status in ("aggregating", "evaluated"):
            step = "evaluated" if state.status == "aggregating" else "published"
            state = advance(state, Moved(step) if what else AttemptFailed("work"), now)  # type: ignore[arg-type]
        while (decision := decide_stage(state, rules, now)) is not None:
            if isinstance(decision, StageClosed):
                assert count_required(state, rules) <= len(decision.members) <= max(low, high)
                assert {(name, decision.stage) for name in decision.members} <= counted
                assert not set(decision.members) & set(state.gone)
            state = advance(state, decision, now)
        assert len(set(state.arrived)) == len(state.arrived)
        assert set(state.arrived) <= set(state.members) <= set(COHORT)
    # However it stands, it ends: waiting decides every open stage.
    now += 101
    decision = decide_stage(state, rules, now)
    assert (decision is None) == (state.status not in ("selected", "collecting"))
