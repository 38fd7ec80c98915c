"""Whom a participant believes: the coordinator of the settings, and names under the keys that they first came with."""

import numpy as np
import pytest
from msgspec.structs import replace

from contract.errors import ConfigurationError
from contract.federation.messages import Claim, GlobalModel, Member, Roster, TensorShape
from federation.messages.identity import PublicIdentity
from federation.participant import trust
from federation.participant.peers import compute_fingerprint, describe_own, update_pins
from federation.participant.state import ParticipantState
from federation.privacy.accounting import Release, Spend
from federation.privacy.budget import LevelSpend
from federation.refusals import EnvelopeRefusedError, UpdateRefusedError


def member(name: str, key: int, status: str = "approved") -> Member:
    return Member(
        name=name, signing_key=bytes([key]) * 1952, sealing_key=bytes([key]) * 64,
        allow_robust=True, status=status, since_ms=0,  # type: ignore[arg-type]
    )  # fmt: skip


def public(one: Member) -> PublicIdentity:
    return PublicIdentity(name=one.name, signing_key=one.signing_key, sealing_key=one.sealing_key)


ALMA, BERTA, CARL = member("alma", 1), member("berta", 2), member("carl", 3)
OWN = public(ALMA)
NEW_BERTA = member("berta", 9)
CLAIM = Claim(instance="i", signing_key=bytes([7]) * 1952, sealing_key=bytes([7]) * 64)
KEYS = PublicIdentity(name="coordinator", signing_key=CLAIM.signing_key, sealing_key=CLAIM.sealing_key)


def after(*rosters: tuple[Member, ...], accepted: dict[str, str] | None = None) -> ParticipantState:
    state = ParticipantState()
    for version, members in enumerate(rosters, start=1):
        trust.accept_roster(state, Roster(version=version, members=members), OWN, accepted or {})
    return state


def test_a_coordinator_is_believed_under_the_fingerprint_of_the_settings_and_only_if_it_is_newer() -> None:
    state = ParticipantState(epoch=3)
    for epoch, fingerprint, reason in (
        (4, "0" * 64, "unsigned"),
        (3, KEYS.fingerprint, "duplicate"),
        (4, None, "unsigned"),
    ):
        with pytest.raises(EnvelopeRefusedError) as error:
            trust.accept_claim(state, CLAIM, epoch, fingerprint)
        assert (error.value.reason, state.epoch, state.coordinator) == (reason, 3, None)
    trust.accept_claim(state, CLAIM, 4, KEYS.fingerprint)
    assert (state.epoch, state.coordinator) == (4, KEYS)
    assert trust.find_identity(state, "coordinator") == KEYS


def test_a_name_keeps_the_keys_that_it_first_came_with() -> None:
    state = after((ALMA, BERTA), (ALMA, NEW_BERTA, CARL))
    assert state.distrusted == {"berta": "changed"}
    assert trust.find_identity(state, "berta") is None
    assert trust.find_identity(state, "carl") == public(CARL)
    assert trust.find_identity(state, "nobody") is None
    assert state.pins == {one.name: compute_fingerprint(one) for one in (ALMA, BERTA, CARL)}


def test_an_older_or_equal_roster_is_no_news() -> None:
    state = after((ALMA, BERTA), (ALMA, BERTA, CARL))
    for version in (1, 2):
        trust.accept_roster(state, Roster(version=version, members=(ALMA,)), OWN, {})
    assert (state.roster_version, sorted(state.members)) == (2, ["alma", "berta", "carl"])


def test_keys_that_a_person_lets_in_are_believed_and_no_others() -> None:
    new = compute_fingerprint(NEW_BERTA)
    assert after((ALMA, BERTA), (ALMA, NEW_BERTA), accepted={"berta": new}).distrusted == {}
    state = after((ALMA, BERTA), (ALMA, NEW_BERTA))
    for accepted in ({}, {"berta": "0" * 64}, {"carl": new}):
        trust.accept_changed_keys(state, accepted)
        assert state.distrusted == {"berta": "changed"}
    trust.accept_changed_keys(state, {"berta": new})
    assert (state.distrusted, state.pins["berta"]) == ({}, new)


def test_keys_under_two_names_are_believed_of_neither_and_a_person_cannot_let_them_in() -> None:
    double = member("dora", 2)
    state = after((ALMA, BERTA, double))
    assert state.distrusted == {"berta": "shared", "dora": "shared"}
    trust.accept_changed_keys(state, {"berta": compute_fingerprint(BERTA)})
    assert sorted(state.distrusted) == ["berta", "dora"]


@pytest.mark.parametrize("part", ["signing_key", "sealing_key"])
def test_one_of_the_two_keys_under_another_name_is_enough(part: str) -> None:
    double = replace(member("dora", 5), **{part: getattr(BERTA, part)})
    assert after((ALMA, BERTA, double)).distrusted == {"berta": "shared", "dora": "shared"}


def test_keys_of_a_name_that_left_may_come_again_under_another() -> None:
    assert after((ALMA, replace(BERTA, status="left"), member("dora", 2))).distrusted == {}


def test_a_name_that_stands_there_twice_is_not_believed() -> None:
    assert after((ALMA, BERTA, BERTA)).distrusted == {"berta": "twice"}


def test_the_own_name_belongs_to_the_own_keys_whatever_a_roster_says() -> None:
    state = after((member("alma", 8), BERTA))
    assert (state.distrusted, state.pins["alma"]) == ({"alma": "changed"}, OWN.fingerprint)
    assert (trust.find_membership(state, OWN), state.approved_as) == ("unknown", "")


@pytest.mark.parametrize("status", ["approved", "revoked", "left"])
def test_membership_is_what_the_roster_says_of_these_keys(status: str) -> None:
    state = after((member("alma", 1, status),))
    assert trust.find_membership(state, OWN) == status
    assert state.approved_as == (OWN.fingerprint if status == "approved" else "")
    assert trust.find_membership(ParticipantState(), OWN) == "unknown"


def test_what_an_earlier_build_remembered_is_pinned() -> None:
    state = ParticipantState(members={"alma": ALMA, "berta": BERTA}, pins={"carl": "c"})
    trust.pin_remembered(state, OWN)
    assert state.pins == {"alma": OWN.fingerprint, "berta": compute_fingerprint(BERTA), "carl": "c"}
    assert state.approved_as == OWN.fingerprint


def test_pins_are_never_changed_in_place() -> None:
    pins = {"berta": "old"}
    assert update_pins(pins, [BERTA], {"berta": compute_fingerprint(BERTA)}) == {"berta": compute_fingerprint(BERTA)}
    assert pins == {"berta": "old"}


def test_under_another_coordinator_only_pins_and_spends_stay_and_only_if_a_person_said_so() -> None:
    state = after((ALMA, BERTA))
    spend = Spend(round=1, attempt=0, at_ms=0, release=Release(noise_multiplier=1.0))
    state.spends = [LevelSpend(level="client", spend=spend)]
    assert trust.accept_coordinator(state, "other", None, "alma") is state
    state.coordinator = KEYS
    assert trust.accept_coordinator(state, KEYS.fingerprint, None, "alma") is state
    for accepted in (None, "another"):
        with pytest.raises(
            ConfigurationError,
            match="tillguard federation peers accept coordinator --fingerprint other --retailer alma",
        ):
            trust.accept_coordinator(state, "other", accepted, "alma")
    following = trust.accept_coordinator(state, "other", "other", "alma")
    assert following == ParticipantState(pins=state.pins, spends=state.spends, approved_as=OWN.fingerprint)


def test_a_person_is_told_of_each_name_that_is_not_believed_and_what_to_do() -> None:
    told = trust.find_warnings(after((ALMA, BERTA), (ALMA, NEW_BERTA)), OWN, left=False)
    assert sorted(told) == ["berta"]
    new = compute_fingerprint(NEW_BERTA)
    assert f"({compute_fingerprint(BERTA)})" in told["berta"]
    assert told["berta"].endswith(f"tillguard federation peers accept berta --fingerprint {new} --retailer alma")
    assert "twice" in trust.find_warnings(after((ALMA, BERTA, BERTA)), OWN, left=False)["berta"]
    shared = trust.find_warnings(after((ALMA, BERTA, member("dora", 2))), OWN, left=False)
    assert sorted(shared) == ["berta", "dora"]
    assert "another name has, too" in shared["dora"]


@pytest.mark.parametrize(
    ("shown", "left", "words"),
    [
        (None, False, "is gone from the roster"),
        (member("alma", 8), False, "keys that are not its own"),
        (member("alma", 1, "left"), False, "has left, says the roster, and did not"),
        (member("alma", 1, "left"), True, ""),
        (member("alma", 1, "revoked"), False, "was shut out by an operator"),
        (ALMA, False, ""),
        (ALMA, True, ""),
    ],
)
def test_a_person_is_told_what_became_of_the_own_place(shown: Member | None, left: bool, words: str) -> None:
    sentence = describe_own(OWN, shown, left=left)
    assert words in sentence
    assert bool(sentence) is bool(words)
    told = trust.find_warnings(after((ALMA, BERTA), (shown, BERTA) if shown else (BERTA,)), OWN, left=left)
    assert told == ({"alma": sentence} if words else {})


def test_of_a_place_that_it_never_had_nobody_is_told() -> None:
    assert trust.find_warnings(ParticipantState(), OWN, left=False) == {}
    assert trust.find_warnings(after((BERTA,)), OWN, left=False) == {}
    assert trust.find_warnings(ParticipantState(approved_as=OWN.fingerprint), OWN, left=False) == {}


def model(version: int, values: tuple[float, ...] = (1.0, 2.0)) -> GlobalModel:
    return GlobalModel(
        model_version=version, base_version=0, shapes=(TensorShape(name="w", shape=(2,)),),
        payload=np.array(values, dtype="<f4").tobytes(), participants=3, weight=1.0, metrics={},
    )  # fmt: skip


def test_the_three_newest_models_are_kept_whatever_their_order() -> None:
    state = ParticipantState()
    for version in (4, 2, 5, 3, 5):
        trust.accept_model(state, model(version), 1)
    assert list(state.models) == [3, 4, 5]


def test_a_model_that_is_known_stays_as_it_came_first_and_what_is_no_model_changes_nothing() -> None:
    state = ParticipantState()
    trust.accept_model(state, model(1), 1)
    trust.accept_model(state, model(1, (7.0, 7.0)), 1)
    assert np.frombuffer(state.models[1].payload, "<f4").tolist() == [1.0, 2.0]
    for values, reason in (((1.0,), "length"), ((1.0, float("nan")), "not_finite")):
        with pytest.raises(UpdateRefusedError) as error:
            trust.accept_model(state, model(2, values), 1)
        assert error.value.reason == reason
    assert list(state.models) == [1]
