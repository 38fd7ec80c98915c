"""Models that are shown to those who are willing, and what comes back."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from msgspec.structs import replace
from pydantic import ValidationError

from contract.federation.fields import SITES_MAX
from contract.federation.messages import RoundPlan, SealedShare, SiteFigures, SiteModels, TensorShape, Update
from contract.federation.settings import FederationSettings, RoundSettings
from federation.coordinator import admission
from federation.coordinator.robust import RobustCollection
from federation.coordinator.state import CoordinatorState
from federation.messages import cross_site
from federation.messages.cross_site import Sites, Willing
from federation.messages.global_weights import GlobalWeights
from federation.messages.identity import Identity
from federation.messages.sealing import seal_to
from federation.numeric.compression import compress
from federation.numeric.masks import Stream
from federation.refusals import EnvelopeRefusedError, FederationRefusedError
from support.robust_round import opened, robust_plan
from tillguard.federation.tables import tabulate_sites

NAMES = ("alma", "berta", "carl")
SHAPES = (
    TensorShape(name="w", shape=(2, 3)),
    TensorShape(name="statistics", shape=(4,), role="statistics"),
)
BASE = np.arange(10, dtype="<f4").tobytes()
PLAN = robust_plan(cohort=NAMES, shapes=SHAPES, staleness_max=3)
IDENTITIES = {name: Identity.generate(name) for name in (*NAMES, "mallory")}
SHOWN = {
    name: Willing(np.full(6, number, dtype=np.float64), IDENTITIES[name].public.sealing_key)
    for number, name in enumerate(NAMES)
}


def said() -> SiteModels:
    return cross_site.build_message("federation", PLAN, 7, BASE, SHOWN)


def read(message: SiteModels, name: str = "alma", **where: Any) -> cross_site.Shown | None:
    place: dict[str, Any] = {"federation": "federation", "round_number": 7, "attempt": 1} | where
    return cross_site.open_models(message, IDENTITIES[name], **place)


def test_each_reader_has_every_model_and_an_update_moves_the_weights_alone() -> None:
    for name in NAMES:
        shown = read(said(), name)
        assert shown is not None
        assert (shown.model_version, list(shown.models)) == (7, list(NAMES))
        for number, (weights, statistics) in enumerate(shown.models.values()):
            np.testing.assert_array_equal(weights, np.arange(6).reshape(2, 3) + number)
            np.testing.assert_array_equal(statistics, np.arange(6, 10))


def test_whoever_it_is_not_for_has_nothing() -> None:
    assert read(said(), "mallory") is None
    stolen = replace(said(), shown=("alma", "berta", "mallory"))
    with pytest.raises(EnvelopeRefusedError, match="sealed to other keys"):
        read(replace(stolen, keys=tuple(replace(one, recipient="mallory") for one in stolen.keys)), "mallory")


@pytest.mark.parametrize("where", [{"federation": "other"}, {"round_number": 8}, {"attempt": 0}])
def test_a_key_opens_in_its_own_round_only(where: dict[str, Any]) -> None:
    with pytest.raises(EnvelopeRefusedError, match="another round"):
        read(said(), **where)


def forged(payloads: object, shown: tuple[str, ...] = NAMES) -> SiteModels:
    """What a coordinator may put into the box, whose key it has."""
    key = bytes(32)
    box = ChaCha20Poly1305(key).encrypt(
        bytes(12), msgspec.msgpack.encode(payloads), b"tillguard/federation/cross-site/v1"
    )
    info = b"tillguard/federation/cross-site/v1" + msgspec.msgpack.encode(("federation", 7, 1, "alma"))
    keys = (SealedShare(recipient="alma", sealed=seal_to(IDENTITIES["alma"].public.sealing_key, key, info)),)
    return SiteModels(model_version=7, shapes=SHAPES, shown=shown, keys=keys, box=box)


def drawn(plan: RoundPlan, willing: Sequence[str]) -> tuple[str, ...]:
    """Where everyone is willing."""
    return cross_site.draw_shown(plan, willing, in_model=len(willing))


WHOLE = np.ones(10, dtype="<f4").tobytes()


def test_what_is_forged_here_as_it_should_be_is_read() -> None:
    assert read(forged((WHOLE,) * 3)) is not None


@pytest.mark.parametrize(
    ("payloads", "shown"),
    [
        pytest.param((WHOLE, WHOLE), NAMES, id="a model too few"),
        pytest.param((WHOLE,) * 4, NAMES, id="a model too many"),
        pytest.param((WHOLE,) * 3, ("alma", "berta", "berta"), id="a name twice"),
        pytest.param((WHOLE, WHOLE, WHOLE[:-4]), NAMES, id="cut short"),
        pytest.param((WHOLE, WHOLE, WHOLE[:-4] + np.float32(np.nan).tobytes()), NAMES, id="no number"),
        pytest.param({"alma": WHOLE}, NAMES, id="another form"),
        pytest.param(7, NAMES, id="no models"),
    ],
)
def test_models_that_do_not_fit_are_refused(payloads: object, shown: tuple[str, ...]) -> None:
    with pytest.raises(FederationRefusedError):
        read(forged(payloads, shown))


def test_what_could_never_be_the_models_is_refused_before_it_is_opened() -> None:
    with pytest.raises(EnvelopeRefusedError, match="more than one model"):
        read(forged(tuple([b""] * 2_000)))
    with pytest.raises(EnvelopeRefusedError, match="changed on the way"):
        read(forged(tuple([b""] * (SITES_MAX + 1))))


def test_a_box_that_was_changed_is_refused() -> None:
    message = said()
    for place in (0, len(message.box) // 2, len(message.box) - 1):
        box = bytearray(message.box)
        box[place] ^= 1
        with pytest.raises(EnvelopeRefusedError, match="changed on the way"):
            read(replace(message, box=bytes(box)))
    with pytest.raises(EnvelopeRefusedError, match="changed on the way"):
        read(replace(message, box=b""))


def test_of_more_than_a_message_takes_a_seed_draws_some_and_two_are_the_least() -> None:
    many = tuple(f"shop-{number:02}" for number in range(40))
    chosen = drawn(PLAN, many)
    assert len(chosen) == SITES_MAX
    assert list(chosen) == sorted(chosen)
    assert chosen == drawn(PLAN, many)
    assert chosen != drawn(replace(PLAN, seed=2), many)
    assert drawn(PLAN, many[:2]) == many[:2]
    assert drawn(PLAN, many[:1]) == drawn(PLAN, ()) == ()
    huge = replace(PLAN, shapes=(TensorShape(name="w", shape=(2**24,)),))
    assert len(drawn(huge, many)) == 2
    assert drawn(replace(PLAN, shapes=(TensorShape(name="w", shape=(2**24, 2)),)), many) == ()


@pytest.mark.parametrize(
    ("in_model", "willing", "shown"),
    [(4, 3, 0), (5, 4, 2), (10, 9, 7), (10, 7, 7), (10, 6, 6), (10, 10, 10), (40, 39, 24)],
)
def test_whoever_is_not_willing_is_hidden_among_as_many_as_a_round_needs(
    in_model: int, willing: int, shown: int
) -> None:
    names = [f"shop-{number:02}" for number in range(willing)]
    assert len(cross_site.draw_shown(PLAN, names, in_model=in_model)) == shown


def sites() -> Sites:
    return Sites(model_version=7, shown=NAMES, figures={"berta": {"alma": 0.25, "berta": 0.5, "carl": 0.75}})


def test_the_newest_finished_evaluation_is_shown_and_none_while_there_is_none() -> None:
    begun, older = sites(), Sites(model_version=6, shown=NAMES)
    finished = Sites(model_version=5, shown=NAMES, figures={name: {} for name in NAMES})
    assert cross_site.find_newest_finished([]) is None
    assert cross_site.find_newest_finished([begun]) is begun
    assert cross_site.find_newest_finished([finished, begun]) is finished
    assert cross_site.find_newest_finished([older, begun]) is older
    assert cross_site.find_newest_finished([older, finished]) is finished


def test_figures_are_taken_once_from_whoever_was_asked() -> None:
    found = sites()
    state = CoordinatorState(model=GlobalWeights(version=0, shapes=(), payload=b""))
    state.evaluations = [Sites(model_version=8, shown=NAMES), found]
    change = admission.record_judgement(state, "alma", SiteFigures(model_version=7, figures={"alma": 1.0, "carl": 0.0}))
    assert found == sites(), "to check a message changes nothing"
    change()
    assert found.to_matrix() == {
        "alma": {"alma": 1.0, "berta": 0.25}, "berta": {"berta": 0.5}, "carl": {"alma": 0.0, "berta": 0.75},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("known", "sender", "version", "figures", "reason"),
    [
        (None, "alma", 7, {"alma": 0.5}, "wrong_round"),
        (sites(), "alma", 6, {"alma": 0.5}, "wrong_round"),
        (sites(), "mallory", 7, {"alma": 0.5}, "not_selected"),
        (sites(), "berta", 7, {"alma": 0.5}, "duplicate"),
        (sites(), "alma", 7, {"mallory": 0.5}, "refused"),
        (sites(), "alma", 7, {"alma": 1.5}, "refused"),
        (sites(), "alma", 7, {"alma": -0.1}, "refused"),
        (sites(), "alma", 7, {"alma": float("nan")}, "refused"),
        (sites(), "alma", 7, {"alma": float("inf")}, "refused"),
    ],
)
def test_other_figures_are_refused(
    known: Sites | None, sender: str, version: int, figures: dict[str, float], reason: str
) -> None:
    with pytest.raises(EnvelopeRefusedError) as refused:
        cross_site.record_judgement(
            [] if known is None else [known], sender, SiteFigures(model_version=version, figures=figures)
        )
    assert refused.value.reason == reason
    assert known is None or known == sites()


def collected(*, late: str = "", hidden: str = "", value: float = 4 / math.sqrt(6)) -> dict[str, Willing]:
    """Of a collection of three updates, of which one comes late, or must not be seen."""
    collection = RobustCollection(FederationSettings(rounds=RoundSettings(mode="robust")), IDENTITIES["mallory"], PLAN)
    for name in NAMES:
        payload = compress(np.full(6, value, dtype=np.float32), 32, Stream(bytes(32)))
        message = Update(payload=payload, examples=10, frauds=1, metrics={}, cross_site=name != hidden)
        update = opened(message, IDENTITIES[name], PLAN)
        if name == late:
            collection.accept_late(update, 1)
        else:
            collection.accept("updates", update)
    collection.apply_closing(collection.make_closing("updates", NAMES))
    return collection.list_willing()


def test_an_update_is_shown_clipped_and_only_where_its_sender_lets_others_see_it() -> None:
    for value in (4 / math.sqrt(6), 1e30):
        whole = collected(value=value)
        assert list(whole) == list(NAMES)
        for name, one in whole.items():
            assert np.linalg.norm(one.update) == pytest.approx(PLAN.clip_norm, rel=1e-6)
            assert one.sealing_key == IDENTITIES[name].public.sealing_key
    assert list(collected(hidden="berta")) == ["alma", "carl"]


def test_a_late_update_is_not_shown_since_it_moved_another_model() -> None:
    assert list(collected(late="berta")) == ["alma", "carl"]


@pytest.mark.parametrize(
    "rounds", [{"mode": "masked"}, {"mode": "robust", "robust": {"rule": "mean"}, "privacy": {"level": "client"}}]
)
def test_settings_that_would_show_what_was_promised_to_be_hidden_are_refused(rounds: dict[str, Any]) -> None:
    RoundSettings(**rounds)
    with pytest.raises(ValidationError, match="cross_site_every shows single models"):
        RoundSettings(**rounds, cross_site_every=1)


def test_the_matrix_is_told_in_words_and_as_a_table() -> None:
    matrix = {"alma": {"alma": 0.8, "berta": 0.2}, "berta": {"alma": 0.4, "berta": 0.6}}
    assert cross_site.describe_matrix(matrix, "Models") == (
        "Models have an average precision of 0.700 on their owners' newest examples and of 0.300 on others' "
        "(mean over 2 and 2 pairs)."
    )
    assert cross_site.describe_matrix({"alma": {"alma": 0.8}}, "Models") == ""
    assert cross_site.describe_matrix({}, "Models") == ""
    table = tabulate_sites(sites())
    assert [column.header for column in table.columns] == ["", "Model of", "1", "2", "3"]
    assert [list(column.cells) for column in table.columns] == [
        ["1", "2", "3"], list(NAMES), ["", "", ""], ["0.250", "0.500", "0.750"], ["", "", ""],
    ]  # fmt: skip
