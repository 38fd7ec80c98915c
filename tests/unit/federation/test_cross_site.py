"""Models that are shown to those who are willing, and what comes back."""

from typing import Any

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from msgspec.structs import replace
from pydantic import ValidationError

from contract.federation import (
    SITES_MAX,
    Envelope,
    LocalTraining,
    Member,
    PrivacyTerms,
    RoundPlan,
    SealedShare,
    SignedEnvelope,
    SiteFigures,
    SiteModels,
    TensorShape,
    Update,
)
from contract.federation_settings import FederationSettings, RoundSettings
from federation import cross_site
from federation.compression import compress
from federation.cross_site import Sites
from federation.envelope import Opened
from federation.identity import Identity
from federation.masks import Stream
from federation.refusals import EnvelopeRefusedError, FederationRefusedError
from federation.robust import RobustCollection
from federation.sealing import seal_to
from tillguard.federation_tables import of_sites

NAMES = ("alma", "berta", "carl")
SHAPES = (
    TensorShape(name="w", shape=(2, 3)),
    TensorShape(name="statistics", shape=(4,), role="statistics"),
)
BASE = np.arange(10, dtype="<f4").tobytes()
PLAN = RoundPlan(
    round=7, attempt=1, mode="robust", cohort=NAMES, updates_min=3, base_version=6, shapes=SHAPES,
    training=LocalTraining(epochs=1, batch_size=1, learning_rate=0.1, prior_offset=True, proximal_mu=0.0),
    clip_norm=2.0, frauds_weight=0.5, weight_unit=1.0, weight_max=1.0,
    privacy=PrivacyTerms(
        level="none", noise_multiplier=0.0, delta=1e-5, epsilon_before=0.0, epsilon_after=0.0, examples_min=1
    ),
    bits=32, masking=None, seed=1, roster_version=1, staleness_max=3,
)  # fmt: skip
IDENTITIES = {name: Identity.generate(name) for name in (*NAMES, "mallory")}
READERS = {
    name: Member(
        name=name, signing_key=one.public.signing_key, sealing_key=one.public.sealing_key, allow_robust=True,
        status="approved", since_ms=0,
    )
    for name, one in IDENTITIES.items()
}  # fmt: skip
MODELS = cross_site.models_of(
    PLAN, BASE, {name: np.full(6, number, dtype=np.float32) for number, name in enumerate(NAMES)}
)


def said() -> SiteModels:
    return cross_site.message("federation", PLAN, 7, MODELS, READERS)


def read(message: SiteModels, name: str = "alma", **where: Any) -> cross_site.Shown | None:
    place = {"federation": "federation", "round_number": 7, "attempt": 1} | where
    return cross_site.opened(message, IDENTITIES[name], **place)


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
    keys = (SealedShare(recipient="alma", sealed=seal_to(READERS["alma"].sealing_key, key, info)),)
    return SiteModels(model_version=7, shapes=SHAPES, shown=shown, keys=keys, box=box)


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
    chosen = cross_site.drawn(PLAN, many)
    assert len(chosen) == SITES_MAX
    assert list(chosen) == sorted(chosen)
    assert chosen == cross_site.drawn(PLAN, many)
    assert chosen != cross_site.drawn(replace(PLAN, seed=2), many)
    assert cross_site.drawn(PLAN, many[:2]) == many[:2]
    assert cross_site.drawn(PLAN, many[:1]) == ()
    huge = replace(PLAN, shapes=(TensorShape(name="w", shape=(2**24,)),))
    assert len(cross_site.drawn(huge, many)) == 2
    assert cross_site.drawn(replace(PLAN, shapes=(TensorShape(name="w", shape=(2**24, 2)),)), many) == ()


def sites() -> Sites:
    return Sites(model_version=7, shown=NAMES, figures={"berta": {"alma": 0.25, "berta": 0.5, "carl": 0.75}})


def test_figures_are_taken_once_from_whoever_was_asked() -> None:
    found = sites()
    cross_site.judged(found, "alma", SiteFigures(model_version=7, figures={"alma": 1.0, "carl": 0.0}))
    assert found.matrix() == {
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
        cross_site.judged(known, sender, SiteFigures(model_version=version, figures=figures))
    assert refused.value.reason == reason
    assert known is None or known == sites()


def collected(*, late: str = "", hidden: str = "") -> dict[str, np.ndarray]:
    """Of a collection of three updates of norm 4, of which one comes late, or must not be seen."""
    collection = RobustCollection(FederationSettings(rounds=RoundSettings(mode="robust")), IDENTITIES["mallory"], PLAN)
    for name in NAMES:
        payload = compress(np.full(6, 4 / np.sqrt(6), dtype=np.float32), 32, Stream(bytes(32)))
        message = Update(payload=payload, examples=10, frauds=1, metrics={}, cross_site=name != hidden)
        envelope = Envelope(
            version=1, federation="federation", type="update", round=7, attempt=1, sender=name, recipient="coordinator",
            sent_at_ms=0, epoch=1, body=b"",
        )  # fmt: skip
        signed = SignedEnvelope(envelope=b"", signature=b"")
        opened = Opened(envelope, message, IDENTITIES[name].public, signed)
        if name == late:
            collection.accept_late(opened, 1)
        else:
            collection.accept("updates", opened)
    collection.closed(collection.closing("updates", NAMES))
    return collection.willing()


def test_an_update_is_shown_clipped_and_only_where_its_sender_lets_others_see_it() -> None:
    whole = collected()
    assert list(whole) == list(NAMES)
    for update in whole.values():
        assert np.linalg.norm(update) == pytest.approx(PLAN.clip_norm, rel=1e-6)
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
    assert cross_site.in_words(matrix, "Models") == (
        "Models have an average precision of 0.700 on their owners' newest examples and of 0.300 on others' "
        "(mean over 2 and 2 pairs)."
    )
    assert cross_site.in_words({"alma": {"alma": 0.8}}, "Models") == ""
    assert cross_site.in_words({}, "Models") == ""
    table = of_sites(sites())
    assert [column.header for column in table.columns] == ["Model of", *NAMES]
    assert [list(column.cells) for column in table.columns] == [
        list(NAMES), ["", "", ""], ["0.2500", "0.5000", "0.7500"], ["", "", ""],
    ]  # fmt: skip
