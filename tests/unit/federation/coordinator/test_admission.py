"""Orders of operators: which of them count, and what the ledger answers."""

import math

import pytest
from msgspec import json
from msgspec.structs import replace

from contract.federation.fields import OPERATOR
from contract.federation.frames import Envelope
from contract.federation.messages import Adoption, EnrolmentRequest, Member, Order, Withdrawal
from federation.audit.ledger import GENESIS, Head, make_next_entry
from federation.audit.orders import Answer, find_answer
from federation.coordinator.admission import (
    ORDERS_KEPT,
    admit_order,
    apply_order,
    can_enrol,
    enrol,
    record_adoption,
    withdraw,
)
from federation.coordinator.state import CoordinatorState, Note
from federation.messages.global_weights import GlobalWeights
from federation.messages.identity import Identity, get_identity
from federation.refusals import EnvelopeRefusedError
from tillguard.federation.answers import ENDLESS, build_order, check, choose_orders

NOON_MS = 1_800_000_000_000
KEYS = {name: Identity.generate(name).public for name in ("harbour", "station")}
FIRST, SECOND = (
    Order(action="approve", participant=name, fingerprint=keys.fingerprint, order_id=f"{number:032x}")
    for number, (name, keys) in enumerate(KEYS.items())
)


@pytest.fixture
def state() -> CoordinatorState:
    """Two retailers wait."""
    made = CoordinatorState(model=GlobalWeights(version=0, shapes=(), payload=b""))
    for name, keys in KEYS.items():
        request = EnrolmentRequest(signing_key=keys.signing_key, sealing_key=keys.sealing_key, allow_robust=False)
        enrol(made, name, request, NOON_MS, waiting_max=10)()
    return made


def heading(sent_at_ms: int = NOON_MS) -> Envelope:
    return Envelope(
        version=1, federation="f", type="order", round=0, attempt=0, sender=OPERATOR, recipient=None,
        sent_at_ms=sent_at_ms, epoch=0, body=b"",
    )  # fmt: skip


def given(state: CoordinatorState, order: Order, sent_at_ms: int = NOON_MS) -> None:
    admit_order(state, heading(sent_at_ms), order)
    apply_order(state, order, NOON_MS, members_max=10)


@pytest.mark.parametrize("later_ms", [0, -1, -60_000], ids=["at once", "a little earlier", "a minute earlier"])
def test_an_order_counts_whatever_the_time_of_the_one_before(state: CoordinatorState, later_ms: int) -> None:
    given(state, FIRST)
    given(state, SECOND, NOON_MS + later_ms)
    assert [member.name for member in state.list_approved()] == ["harbour", "station"]
    assert [(note.kind, note.content["order_id"]) for note in state.notes] == [
        ("approved", FIRST.order_id),
        ("approved", SECOND.order_id),
    ]


def test_the_same_wish_given_twice_in_one_moment_is_two_orders_and_one_given_again_is_one(
    state: CoordinatorState,
) -> None:
    run = Order(action="run", rounds=2, order_id="a" * 32)
    given(state, run)
    given(state, replace(run, order_id="b" * 32))
    assert state.rounds_wanted == 4
    for _ in range(2):
        with pytest.raises(EnvelopeRefusedError, match="duplicate"):
            given(state, run)
    assert state.rounds_wanted == 4
    assert len(state.notes) == 2, "nobody makes the ledger grow by sending an order again"


def test_orders_are_remembered_without_end_and_in_bounded_room(state: CoordinatorState) -> None:
    orders = [Order(action="run", rounds=1, order_id=f"{number:032x}") for number in range(ORDERS_KEPT + 10)]
    for number, order in enumerate(orders):
        given(state, order, NOON_MS + number // 3)
    assert len(state.orders) == ORDERS_KEPT
    for number, order in enumerate(orders):
        with pytest.raises(EnvelopeRefusedError, match="duplicate"):
            given(state, order, NOON_MS + number // 3)
    assert state.rounds_wanted == len(orders)
    given(state, Order(action="run", rounds=1, order_id="f" * 32), NOON_MS + 4)
    assert state.rounds_wanted == len(orders) + 1


def test_of_too_many_orders_the_oldest_by_time_is_forgotten_whatever_it_is_called(state: CoordinatorState) -> None:
    for number in range(ORDERS_KEPT + 1):
        order = Order(action="run", rounds=1, order_id=f"{ORDERS_KEPT - number:032x}")
        admit_order(state, heading(NOON_MS + number), order)
    assert f"{ORDERS_KEPT:032x}" not in state.orders
    assert (len(state.orders), state.orders_forgotten_ms) == (ORDERS_KEPT, NOON_MS)


@pytest.mark.parametrize(
    ("standing", "asked", "orders"),
    [
        (0, None, [("run", ENDLESS)]), (ENDLESS // 2, None, [("run", ENDLESS)]), (ENDLESS // 2 + 1, None, []),
        (0, 3, [("run", 3)]), (1, 3, []), (3, 3, []), (4, 3, [("pause", 0), ("run", 3)]),
    ],
)  # fmt: skip
def test_a_coordinator_that_goes_on_orders_no_round_more_than_is_wanted(
    standing: int, asked: int | None, orders: list[tuple[str, int]]
) -> None:
    made = CoordinatorState(model=GlobalWeights(version=0, shapes=(), payload=b""), rounds_wanted=standing)
    assert [(order.action, order.rounds) for order in choose_orders(made, asked)] == orders


def test_an_order_of_an_earlier_build_that_is_refused_leaves_no_note(state: CoordinatorState) -> None:
    before = list(state.notes)
    with pytest.raises(EnvelopeRefusedError, match="nobody of this name waits"):
        apply_order(
            state, Order(action="approve", participant="harbour", fingerprint="0" * 64), NOON_MS, members_max=10
        )
    assert state.notes == before


def test_other_keys_of_an_approved_name_are_not_let_in(state: CoordinatorState) -> None:
    given(state, FIRST)
    state.waiting[KEYS["station"].fingerprint] = replace(state.waiting[KEYS["station"].fingerprint], name="harbour")
    other = Order(action="approve", participant="harbour", fingerprint=KEYS["station"].fingerprint, order_id="e" * 32)
    with pytest.raises(EnvelopeRefusedError, match="a participant of this name is approved"):
        given(state, other)
    assert get_identity(state.members["harbour"]).fingerprint == FIRST.fingerprint


def test_a_pause_takes_back_every_round_that_is_wanted(state: CoordinatorState) -> None:
    given(state, Order(action="run", rounds=5, order_id="a" * 32))
    given(state, Order(action="pause", order_id="b" * 32))
    assert state.rounds_wanted == 0
    assert state.notes[-1] == Note(kind="pause_ordered", content={"order_id": "b" * 32})


def test_the_roster_takes_as_many_as_the_settings_allow_and_one_that_left_comes_back_all_the_same(
    state: CoordinatorState,
) -> None:
    apply_order(state, FIRST, NOON_MS, members_max=1)
    assert state.notes[-1].content["fingerprint"] == FIRST.fingerprint
    with pytest.raises(EnvelopeRefusedError, match="as many as settings allow"):
        apply_order(state, SECOND, NOON_MS, members_max=1)
    state.members["station"] = Member(
        name="station", signing_key=bytes(1952), sealing_key=bytes(64), allow_robust=False, status="left", since_ms=0
    )
    apply_order(state, SECOND, NOON_MS, members_max=1)
    assert [member.name for member in state.list_approved()] == ["harbour", "station"]


def test_whoever_is_shut_out_stands_on_the_roster_with_the_time_and_is_not_shut_out_twice(
    state: CoordinatorState,
) -> None:
    given(state, FIRST)
    state.roster_changed = False
    revoke = Order(action="revoke", participant="harbour", order_id="d" * 32)
    apply_order(state, revoke, NOON_MS + 9, members_max=10)
    assert (state.members["harbour"].status, state.members["harbour"].since_ms) == ("revoked", NOON_MS + 9)
    assert state.roster_changed
    assert state.notes[-1].kind == "revoked"
    with pytest.raises(EnvelopeRefusedError, match="no approved participant"):
        apply_order(state, revoke, NOON_MS + 10, members_max=10)


# Requests and what participants say of themselves


def asked(name: str) -> EnrolmentRequest:
    keys = KEYS[name]
    return EnrolmentRequest(signing_key=keys.signing_key, sealing_key=keys.sealing_key, allow_robust=False)


@pytest.mark.parametrize(
    ("name", "keys", "status", "reason"),
    [
        ("operator", "harbour", None, "refused"),
        ("harbour", "harbour", None, "duplicate"),  # it waits
        ("harbour", "station", "approved", "duplicate"),
        ("harbour", "harbour", "left", "revoked"),
        ("harbour", "harbour", "revoked", "revoked"),
    ],
)
def test_a_request_that_could_never_be_approved_is_refused(
    state: CoordinatorState, name: str, keys: str, status: str | None, reason: str
) -> None:
    if status is not None:
        given(state, FIRST)
        state.members["harbour"] = replace(state.members["harbour"], status=status)
    with pytest.raises(EnvelopeRefusedError) as error:
        enrol(state, name, asked(keys), NOON_MS, waiting_max=10)
    assert error.value.reason == reason


def test_a_name_that_left_may_ask_with_new_keys(state: CoordinatorState) -> None:
    given(state, FIRST)
    state.members["harbour"] = replace(state.members["harbour"], status="left")
    state.waiting.clear()
    enrol(state, "harbour", asked("station"), NOON_MS, waiting_max=10)()
    assert [one.name for one in state.waiting.values()] == ["harbour"]


def test_only_so_many_wait_and_the_one_that_asked_first_makes_room() -> None:
    made = CoordinatorState(model=GlobalWeights(version=0, shapes=(), payload=b""))
    requests = [
        EnrolmentRequest(signing_key=bytes([number]) * 1952, sealing_key=bytes(64), allow_robust=False)
        for number in range(9)
    ]
    for number, asked_ms in enumerate((5, 3, 8, 4)):
        enrol(made, f"shop-{number}", requests[number], asked_ms, waiting_max=4)()
    assert sorted(one.asked_ms for one in made.waiting.values()) == [3, 4, 5, 8]
    enrol(made, "shop-9", requests[8], 9, waiting_max=4)()
    assert sorted(one.asked_ms for one in made.waiting.values()) == [4, 5, 8, 9]


def saying(kind: str, sent_at_ms: int = NOON_MS) -> Envelope:
    return replace(heading(sent_at_ms), type=kind, sender="harbour")


def test_a_participant_that_leaves_stands_on_the_roster_as_such_and_leaves_once(state: CoordinatorState) -> None:
    with pytest.raises(EnvelopeRefusedError, match="no part"):
        withdraw(state, saying("withdrawal"), Withdrawal(), NOON_MS)
    given(state, FIRST)
    state.roster_changed = False
    withdraw(state, saying("withdrawal"), Withdrawal(reason="closed"), NOON_MS + 5)()
    assert (state.members["harbour"].status, state.members["harbour"].since_ms) == ("left", NOON_MS + 5)
    assert state.roster_changed
    assert state.notes[-1] == Note(kind="left", content={"participant": "harbour", "reason": "closed"})
    for sent_at_ms, reason in ((NOON_MS, "duplicate"), (NOON_MS + 1, "revoked")):
        with pytest.raises(EnvelopeRefusedError) as error:
            withdraw(state, saying("withdrawal", sent_at_ms), Withdrawal(), NOON_MS + 9)
        assert error.value.reason == reason


def test_of_an_adoption_the_decision_and_the_shared_figures_are_kept(state: CoordinatorState) -> None:
    state.model = replace(state.model, version=4)
    record_adoption(state, saying("adoption"), adoption(4, ap=0.5, accuracy=0.9, secret=1.0))()
    assert state.adoptions == {"harbour": "blended 4"}
    assert state.shared == {"harbour": {"ap": 0.5, "accuracy": 0.9}}
    with pytest.raises(EnvelopeRefusedError, match="duplicate"):
        record_adoption(state, saying("adoption"), adoption(4))
    for message in (adoption(5), adoption(4, ap=math.inf)):
        with pytest.raises(EnvelopeRefusedError, match="refused"):
            record_adoption(state, saying("adoption", NOON_MS + 1), message)


def adoption(version: int, **metrics: float) -> Adoption:
    return Adoption(model_version=version, decision="blended", metrics=metrics)


def test_an_order_of_an_earlier_build_counts_in_the_order_of_times_as_it_did(state: CoordinatorState) -> None:
    given(state, replace(FIRST, order_id=None))
    with pytest.raises(EnvelopeRefusedError, match="duplicate"):
        given(state, replace(SECOND, order_id=None))
    given(state, SECOND)
    assert [member.name for member in state.list_approved()] == ["harbour", "station"]
    assert "order_id" not in state.notes[0].content


@pytest.mark.parametrize(
    ("order", "reason", "detail"),
    [
        (replace(FIRST, participant="station"), "refused", "nobody of this name waits with this fingerprint"),
        (Order(action="revoke", participant="ghost"), "refused", "no approved participant has this name"),
        (FIRST, "duplicate", "the participant is approved already, with this fingerprint"),
    ],
)
def test_an_order_that_cannot_be_carried_out_changes_nothing_and_is_answered_with_the_reason(
    state: CoordinatorState, order: Order, reason: str, detail: str
) -> None:
    given(state, FIRST)
    members, waiting = dict(state.members), dict(state.waiting)
    order = replace(order, order_id="c" * 32)
    with pytest.raises(EnvelopeRefusedError) as error:
        given(state, order)
    assert (error.value.reason, error.value.detail) == (reason, detail)
    assert (state.members, state.waiting) == (members, waiting)
    note = state.notes[-1]
    entry = make_next_entry(Head(3, GENESIS), note.kind, note.content, at_ms=NOON_MS)
    assert find_answer(entry, order) == Answer("refused", reason, detail)
    assert find_answer(entry, FIRST) is None
    assert json.decode(entry.content)["participant"] == order.participant


def test_an_entry_without_an_order_answers_none() -> None:
    entry = make_next_entry(Head(), "approved", {"participant": "harbour", "fingerprint": "ab"}, at_ms=NOON_MS)
    assert find_answer(entry, replace(FIRST, order_id=None)) is None
    assert find_answer(entry, FIRST) is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer("refused", "refused", "nobody waits"), r"approve harbour is refused \(refused\): nobody waits.*list"),
        (Answer("refused", "time", "the clock is ahead"), r"refused \(time\): the clock is ahead.*set the clock"),
        (Answer("unanswered"), r"no coordinator of f answered within 30 s.*f\.updates\.v1.*federation run.*list"),
        (Answer("unanswered", detail="Kafka went away"), r"Kafka went away\. The order stands on the topic"),
    ],
)
def test_an_operator_is_told_what_became_of_an_order_and_what_to_do(answer: Answer, words: str) -> None:
    from contract.errors import TillguardError

    with pytest.raises(TillguardError, match=words):
        check(answer, FIRST, federation="f", wait_s=30.0)


def test_who_does_not_wait_is_told_nothing_of_an_answer() -> None:
    check(Answer("unanswered"), FIRST, federation="f", wait_s=0.0)
    check(Answer("done"), FIRST, federation="f", wait_s=30.0)


@pytest.mark.parametrize(("name", "fingerprint"), [("Harbour", None), ("x" * 49, None), ("harbour", "a" * 65)])
def test_an_order_that_no_coordinator_could_read_is_not_given(name: str, fingerprint: str | None) -> None:
    from contract.errors import ConfigurationError

    assert build_order("revoke", "harbour", None) == Order(action="revoke", participant="harbour")
    with pytest.raises(ConfigurationError, match="lower-case letters"):
        build_order("approve", name, fingerprint)


def test_only_a_request_that_can_be_approved_waits(state: CoordinatorState) -> None:
    keys, others = KEYS["harbour"], Identity.generate("harbour").public
    assert can_enrol(None, keys, NOON_MS)
    given(state, FIRST)
    member = state.members["harbour"]
    assert get_identity(member) == keys
    for asking in (keys, others):
        assert not can_enrol(member, asking, NOON_MS), "the name is approved"
    revoked = replace(member, status="revoked", since_ms=NOON_MS + 10)
    assert not can_enrol(revoked, others, NOON_MS), "it was refused while the name was approved"
    assert can_enrol(revoked, others, NOON_MS + 20)
    assert not can_enrol(revoked, keys, NOON_MS + 20), "these keys were used before"
    assert not can_enrol(None, replace(keys, name="operator"), NOON_MS), "the name is reserved"
