"""Cross-site evaluation: everyone's model on everyone's newest examples, for participants that are willing. Mode robust.

Willing is who says so with its update (`federation.participant.cross_site`): its model is then shown to the others that are, and it
tells how theirs do. Who shows nothing sees nothing. Models are encrypted once under a key of their own (ChaCha20-Poly1305, RFC 8439),
which is sealed to each of them, so that nobody else who reads the topic learns them. Pure but for the random key.
"""

import math
import random
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from msgspec import Meta, Struct, field
from numpy.typing import NDArray

from contract.federation.fields import MESSAGE_BYTES_MAX, SITES_MAX, Payload
from contract.federation.messages import RoundPlan, SealedShare, SiteFigures, SiteModels
from federation.learning.learner import Arrays
from federation.messages.identity import Identity
from federation.messages.sealing import seal_to
from federation.numeric.tensors import check_vector, count_values, mark_places, read_vector, unflatten
from federation.refusals import EnvelopeRefusedError

_DOMAIN = b"tillguard/federation/cross-site/v1"
_ONCE = bytes(12)
"""The nonce: every key encrypts one text."""
_PAYLOADS = msgspec.msgpack.Decoder(Annotated[tuple[Payload, ...], Meta(max_length=SITES_MAX)])
WILLING_KEPT = 3
"""The newest rounds in which a participant agreed to be compared."""
_BOX_SPARE = 1_024
"""Beyond the models' own bytes: lengths and the tag."""


class Sites(Struct, kw_only=True):
    """One evaluation, as far as it has come."""

    model_version: int
    """Of the global model that was made in the same round."""
    shown: tuple[str, ...]
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    """By who judged, average precision by whose model; empty of whoever could measure none."""

    def to_matrix(self) -> dict[str, dict[str, float]]:
        """By whose model, average precision by whose examples; what is not told yet is missing."""
        return {
            name: {judge: found[name] for judge, found in sorted(self.figures.items()) if name in found}
            for name in self.shown
        }


class Willing(NamedTuple):
    """A participant that lets others see its update."""

    update: NDArray[np.float64]
    """Shape (parameters,), clipped."""
    sealing_key: bytes
    """Of the keys that signed the update."""


class Shown(NamedTuple):
    """Models to be judged here."""

    model_version: int
    models: Mapping[str, Arrays]
    """By whose they are."""


def draw_shown(plan: RoundPlan, willing: Sequence[str], *, in_model: int) -> tuple[str, ...]:
    """Whose models are shown: of those that are willing all, or as many as may be, drawn by the plan's seed; none, or two at least.

    A message takes a certain size. And whoever knows all updates but one can take them away from the global model: where some of the
    `in_model` whose updates are in it are not willing, this many are kept back that they are hidden among `updates_min`.
    """
    most = min(SITES_MAX, MESSAGE_BYTES_MAX // 2 // (4 * count_values(plan.shapes)))
    if len(willing) < in_model:
        most = min(most, in_model - plan.updates_min)
    if min(most, len(willing)) < 2:
        return ()
    chosen = set(random.Random(plan.seed).sample(sorted(willing), min(most, len(willing))))  # noqa: S311 - no secret
    return tuple(name for name in willing if name in chosen)


def build_message(
    federation: str, plan: RoundPlan, model_version: int, base: bytes, shown: Mapping[str, Willing]
) -> SiteModels:
    """The models of `shown` for these to read: the plan's base, float32 little-endian, moved by each one's update of the weights."""
    key, weights = ChaCha20Poly1305.generate_key(), mark_places(plan.shapes, "weights")
    start = read_vector(base, count_values(plan.shapes))
    models = []
    for one in shown.values():
        moved = start.astype(np.float64)
        moved[weights] += one.update
        models.append(check_vector(moved, len(start)).tobytes())
    keys = tuple(
        SealedShare(
            recipient=name, sealed=seal_to(one.sealing_key, key, _info(federation, plan.round, plan.attempt, name))
        )
        for name, one in shown.items()
    )
    box = ChaCha20Poly1305(key).encrypt(_ONCE, msgspec.msgpack.encode(models), _DOMAIN)
    return SiteModels(model_version=model_version, shapes=plan.shapes, shown=tuple(shown), keys=keys, box=box)


def record_agreement(willing: Mapping[int, tuple[int, int]], plan: RoundPlan) -> dict[int, tuple[int, int]]:
    """`willing` (federation.participant.state) with the attempt of `plan`: this participant's update in it says so."""
    more = {**willing, plan.base_version + 1: (plan.round, plan.attempt)}
    return {version: more[version] for version in sorted(more)[-WILLING_KEPT:]}


def open_models(said: SiteModels, identity: Identity, federation: str, round_number: int, attempt: int) -> Shown | None:
    """The models, where they are shown to this participant; raises FederationRefusedError where they do not open or do not fit."""
    sealed = next((one.sealed for one in said.keys if one.recipient == identity.name), None)
    if sealed is None or identity.name not in said.shown:
        return None
    if len(said.box) > len(said.shown) * 4 * count_values(said.shapes) + _BOX_SPARE:
        raise EnvelopeRefusedError("refused", "more than one model for each name")
    key = identity.unseal(sealed, _info(federation, round_number, attempt, identity.name))
    if key is None:
        raise EnvelopeRefusedError("unreadable", "a key that was sealed to other keys or for another round")
    try:
        payloads = _PAYLOADS.decode(ChaCha20Poly1305(key).decrypt(_ONCE, said.box, _DOMAIN))
    except (InvalidTag, ValueError, msgspec.MsgspecError):
        raise EnvelopeRefusedError("unreadable", "the models were changed on the way") from None
    if len(payloads) != len(said.shown) or len(set(said.shown)) != len(said.shown):
        raise EnvelopeRefusedError("refused", "not one model for each name")
    models = {name: unflatten(said.shapes, payload) for name, payload in zip(said.shown, payloads, strict=True)}
    return Shown(said.model_version, models)


def find_newest_finished(evaluations: Sequence[Sites]) -> Sites | None:
    """The newest to which everyone has answered; where there is none the oldest, whose answers have had most time."""
    finished = [one for one in evaluations if len(one.figures) == len(one.shown)]
    return finished[-1] if finished else next(iter(evaluations), None)


def record_judgement(evaluations: Sequence[Sites], sender: str, said: SiteFigures) -> Sites:
    """The evaluation to which what `sender` found belongs; raises EnvelopeRefusedError where it was not asked, or has told it before."""
    sites = next((one for one in evaluations if one.model_version == said.model_version), None)
    if sites is None:
        raise EnvelopeRefusedError("wrong_round", "figures of models that were not shown, or long ago")
    if sender not in sites.shown:
        raise EnvelopeRefusedError("not_selected", "nothing was shown to it")
    if sender in sites.figures:
        raise EnvelopeRefusedError("duplicate", "it told its figures before")
    if not said.figures.keys() <= set(sites.shown):
        raise EnvelopeRefusedError("refused", "field figures names models that were not shown")
    if not all(math.isfinite(value) and 0 <= value <= 1 for value in said.figures.values()):
        raise EnvelopeRefusedError("refused", "field figures must lie in [0, 1]")
    return sites


def describe_matrix(matrix: Mapping[str, Mapping[str, float]], models: str) -> str:
    """What average precisions by model and by examples say; `models`: what they are. Empty where nothing can be compared."""
    home = [row[name] for name, row in matrix.items() if name in row]
    away = [value for name, row in matrix.items() for other, value in row.items() if other != name]
    if not home or not away:
        return ""
    return (
        f"{models} have an average precision of {fmean(home):.3f} on their owners' newest examples and of "
        f"{fmean(away):.3f} on others' (mean over {len(home)} and {len(away)} pairs)."
    )


def _info(federation: str, round_number: int, attempt: int, reader: str) -> bytes:
    return _DOMAIN + msgspec.msgpack.encode((federation, round_number, attempt, reader))
