"""What of a cohort's messages counts in an attempt: whose, when, and once."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from contract.federation.fields import Stage
from contract.federation.frames import Envelope, SignedEnvelope
from contract.federation.messages import MaskKeys, Member, Message, Refusal, RoundPlan, Update, get_type_name
from contract.federation.settings import RoundSettings
from federation.coordinator.attempt import Attempt, build_rules
from federation.coordinator.intake import count_bytes, keep_late_rounds, take
from federation.coordinator.state import CoordinatorState
from federation.messages.envelope import Opened
from federation.messages.global_weights import GlobalWeights
from federation.messages.identity import PublicIdentity
from federation.refusals import EnvelopeRefusedError, FederationRefusedError
from support.robust_round import robust_plan

UPDATE = Update(payload=b"u", examples=0, frauds=0, metrics={})


class Kept:
    """A collection that keeps what it is given, and takes no update that says `bad`."""

    def __init__(self) -> None:
        self.accepted: list[tuple[Stage, str]] = []
        self.late: list[tuple[str, int]] = []

    def accept(self, stage: Stage, opened: Opened) -> None:
        _check(opened)
        self.accepted.append((stage, opened.envelope.sender))

    def accept_late(self, opened: Opened, staleness: int) -> None:
        _check(opened)
        self.late.append((opened.envelope.sender, staleness))


def _check(opened: Opened) -> None:
    if isinstance(opened.message, Update) and opened.message.payload == b"bad":
        raise EnvelopeRefusedError("refused", "not an update of this plan")


def attempt_of(plan: RoundPlan) -> tuple[Attempt, Kept]:
    kept: Any = Kept()
    return Attempt(plan, build_rules(plan, RoundSettings(mode=plan.mode)), kept, 0), kept


def state() -> CoordinatorState:
    return CoordinatorState(model=GlobalWeights(version=6, shapes=(), payload=b""))


def heard(message: Message, sender: str = "alma", number: int = 7, attempt: int = 1, size: int = 3) -> Opened:
    envelope = Envelope(
        version=1, federation="f", type=get_type_name(message), round=number, attempt=attempt, sender=sender,
        recipient=None, sent_at_ms=0, epoch=1, body=b"",
    )  # fmt: skip
    signed = SignedEnvelope(envelope=f"{sender}{message}".encode()[:size].ljust(size, b"."), signature=b"1234")
    return Opened(envelope, message, PublicIdentity(name=sender, signing_key=b"", sealing_key=b""), signed)


def refused(take_it: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(FederationRefusedError) as error:
        take_it()
    return error.value.reason, str(error.value)


def test_an_update_is_kept_and_its_sender_has_answered() -> None:
    attempt, kept = attempt_of(robust_plan())
    take(state(), attempt, heard(UPDATE))()
    assert kept.accepted == [("updates", "alma")]
    assert attempt.state.arrived == ("alma",)


@pytest.mark.parametrize(
    ("opened", "reason"),
    [
        (heard(UPDATE, number=6), "wrong_round"),
        (heard(UPDATE, attempt=0), "wrong_round"),
        (heard(UPDATE, "dora"), "not_selected"),
        (heard(MaskKeys(key=bytes(32))), "wrong_stage"),
        (heard(replace(UPDATE, payload=b"bad")), "refused"),
        (heard(Refusal(reason="data"), "dora"), "not_selected"),
    ],
)
def test_what_does_not_fit_the_attempt_changes_nothing(opened: Opened, reason: str) -> None:
    attempt, kept = attempt_of(robust_plan())
    before = attempt.state
    assert refused(lambda: take(state(), attempt, opened))[0] == reason
    assert (attempt.state, kept.accepted, kept.late, attempt.said) == (before, [], [], {})


@pytest.mark.parametrize("message", [UPDATE, Refusal(reason="data")])
def test_outside_of_an_attempt_nothing_counts(message: Message) -> None:
    assert refused(lambda: take(state(), None, heard(message)))[0] == "wrong_round"


def test_a_second_answer_is_refused_and_another_one_of_the_same_name_is_told_so() -> None:
    attempt, _ = attempt_of(robust_plan())
    first = heard(UPDATE, size=40)
    take(state(), attempt, first)()
    reason, told = refused(lambda: take(state(), attempt, first))
    assert reason == "duplicate"
    assert "two processes" not in told
    reason, told = refused(lambda: take(state(), attempt, heard(UPDATE, size=41)))
    assert reason == "duplicate"
    assert "do two processes of this participant run?" in told


@pytest.mark.parametrize(("said", "noted"), [("data", "data"), ("no such code", "training")])
def test_who_refuses_has_no_part_any_more_and_says_why_in_our_words(said: str, noted: str) -> None:
    attempt, _ = attempt_of(robust_plan())
    take(state(), attempt, heard(Refusal(reason=said)))()
    assert (attempt.refusals, attempt.state.gone) == ({"alma": noted}, ("alma",))
    assert refused(lambda: take(state(), attempt, heard(UPDATE)))[0] == "not_selected"


# FedBuff: late updates


BUFFERED = robust_plan(staleness_max=2)


def late_state() -> CoordinatorState:
    """Rounds 5 and 6 began from the models 4 and 6; of round 5 `berta` has counted."""
    made = state()
    made.bases, made.counted = {5: 4, 6: 6}, {5: ["berta"]}
    return made


def test_a_late_update_counts_in_the_round_under_way_with_the_models_between() -> None:
    known, (attempt, kept) = late_state(), attempt_of(BUFFERED)
    take(known, attempt, heard(UPDATE, number=5))()
    take(known, attempt, heard(UPDATE, "carl", number=6))()
    assert kept.late == [("alma", 2), ("carl", 0)]
    assert attempt.state.arrived == ("alma", "carl")
    assert known.counted == {5: ["berta", "alma"], 6: ["carl"]}
    take(known, attempt, heard(UPDATE, "berta"))()
    assert known.counted[7] == ["berta"]


@pytest.mark.parametrize(
    ("opened", "reason"),
    [
        (heard(UPDATE, "berta", number=5), "duplicate"),
        (heard(UPDATE, "dora", number=5), "not_selected"),
        (heard(UPDATE, number=4), "wrong_round"),
        (heard(Refusal(reason="data"), number=5), "wrong_round"),
        (heard(replace(UPDATE, payload=b"bad"), number=5), "refused"),
    ],
)
def test_a_late_update_counts_once_and_of_a_known_round_and_of_a_member(opened: Opened, reason: str) -> None:
    known, (attempt, kept) = late_state(), attempt_of(BUFFERED)
    assert refused(lambda: take(known, attempt, opened))[0] == reason
    assert kept.late == []


def test_where_late_is_late_no_earlier_update_counts() -> None:
    attempt, kept = attempt_of(robust_plan())
    assert refused(lambda: take(late_state(), attempt, heard(UPDATE, number=5)))[0] == "wrong_round"
    assert kept.late == []


def test_of_earlier_rounds_no_more_is_kept_than_a_late_update_needs() -> None:
    known = late_state()
    known.bases[4], known.counted[4] = 3, ["alma"]
    keep_late_rounds(known, robust_plan(round=7))
    assert set(known.bases) == {4, 5, 6}
    keep_late_rounds(known, BUFFERED)
    assert (known.bases, known.counted) == ({5: 4, 6: 6, 7: 6}, {5: ["berta"]})


def test_bytes_are_counted_of_members_and_in_an_attempt_of_its_cohort() -> None:
    known, (attempt, _) = state(), attempt_of(robust_plan())
    known.members["alma"] = Member(
        name="alma", signing_key=bytes(1952), sealing_key=bytes(64), allow_robust=False, status="approved", since_ms=0
    )
    for opened in (
        heard(UPDATE),
        heard(UPDATE),
        heard(UPDATE, "berta"),
        heard(UPDATE, "dora"),
        heard(UPDATE, number=0),
    ):
        count_bytes(known, attempt, opened)
    count_bytes(known, None, heard(UPDATE))
    assert known.received == {"alma": 4 * 7}
    assert attempt.received == {"alma": 2 * 7, "berta": 7}
