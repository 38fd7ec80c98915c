"""Which of the store's examples a training takes, and what for; chance is the seed's alone.

The newest examples are split by time, frauds and genuine ones apart, into what is learned from, what calibrates, and what
measures. Of the older ones, and only to learn from, a share is drawn evenly over label, time and fraud kind.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.errors import TrainingRefusedError
from contract.features import get_feature_names
from trainer.examples import reservoir
from trainer.examples.examples import Examples, Split, refuse_thin, split_rows
from trainer.examples.labels import Judged, Known, Terms, judge
from trainer.examples.store import ExampleStore

UNVERIFIED = -1


@dataclass(frozen=True, slots=True)
class Outline:
    """n examples without their features, in order of event_time and applied_seq."""

    transaction_ids: list[str]
    event_time_ms: NDArray[np.int64]
    amount_minor: NDArray[np.int64]
    fraud: NDArray[np.bool_]
    weight: NDArray[np.float64]
    kind: NDArray[np.int64]
    """A number per kind of fraud; reservoir.GENUINE for the others."""
    verified: NDArray[np.int8]
    """What trusted sources say: 1 fraud, 0 genuine, UNVERIFIED nothing."""
    ripe_before_ms: int
    """Up to here nobody waits for labels any more."""

    def __len__(self) -> int:
        return len(self.transaction_ids)


def build_outline(pages: Iterable[Sequence[Known]], terms: Terms) -> Outline:
    """What is an example under `terms`; memory grows by some 150 bytes an example."""
    ids: list[str] = []
    kinds: dict[str, int] = {}
    columns: list[NDArray[np.int64]] = []
    weights: list[NDArray[np.float64]] = []
    for page in pages:
        judged = [(known, found) for known in page if (found := judge(known, terms)) is not None]
        if not judged:
            continue
        ids.extend(known.transaction_id for known, _ in judged)
        columns.append(np.array([_column(known, found, kinds) for known, found in judged], dtype=np.int64))
        weights.append(np.array([found.weight for _, found in judged]))
    table = np.concatenate(columns) if columns else np.empty((0, 4), dtype=np.int64)
    return Outline(
        transaction_ids=ids,
        event_time_ms=table[:, 0],
        amount_minor=table[:, 1],
        fraud=table[:, 2] != reservoir.GENUINE,
        weight=np.concatenate(weights) if weights else np.empty(0),
        kind=table[:, 2],
        verified=table[:, 3].astype(np.int8),
        ripe_before_ms=terms.ripe_before_ms,
    )


def _column(known: Known, found: Judged, kinds: dict[str, int]) -> tuple[int, int, int, int]:
    kind = kinds.setdefault(found.kind, len(kinds)) if found.fraud else reservoir.GENUINE
    verified = UNVERIFIED if found.verified is None else int(found.verified)
    return known.event_time_ms, known.amount_base_minor, kind, verified


class Chosen(NamedTuple):
    """Rows of an outline, ascending."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    fraud_share: float
    """Share of frauds among what is old enough to be known, by weight; of the newest examples where that can be said."""
    replayed: int
    """How many of `train` are not of the newest."""


def choose(found: Outline, *, newest: int, replayed: int, seed: int) -> Chosen:
    """Raises TrainingRefusedError where there is nothing to learn from."""
    if not found.fraud.any() or found.fraud.all():
        kind = "fraudulent" if len(found) and found.fraud.any() else "genuine"
        raise TrainingRefusedError(
            f"all {len(found):,} examples are {kind}: a model needs both" if len(found) else "there is no example yet"
        )
    first = max(0, len(found) - newest)
    older = reservoir.draw(found.kind[:first], replayed, np.random.default_rng(seed))
    train, validation, test = (rows + first for rows in split_rows(found.fraud[first:]))
    return Chosen(np.concatenate((older, train)), validation, test, _fraud_share(found, first), len(older))


def _fraud_share(found: Outline, first: int) -> float:
    """Young examples are mostly frauds, since honest customers are known later; so only older ones are counted."""
    ripe = found.event_time_ms <= found.ripe_before_ms
    for rows in (ripe & (np.arange(len(found)) >= first), ripe, np.ones(len(found), dtype=np.bool_)):
        frauds, all_ = float(found.weight[rows & found.fraud].sum()), float(found.weight[rows].sum())
        if 0 < frauds < all_:
            return frauds / all_
    raise AssertionError("both kinds are there")


class Gathered(NamedTuple):
    """Slices with their features, and what trusted sources say of the newest."""

    parts: Split
    verified: NDArray[np.int8]
    """Of the test slice, as Outline.verified."""
    left_out: int
    """Recorded under a feature schema that this one does not begin with, or pruned meanwhile."""


def gather(store: ExampleStore, found: Outline, chosen: Chosen, minor_per_major: float) -> Gathered:
    """Reads the features of what was chosen.

    Raises TrainingRefusedError where a slice is too thin, TransientError where the store does not answer.
    """
    slices, kept_test, left_out = [], chosen.test, 0
    for rows in (chosen.train, chosen.validation, chosen.test):
        kept, features = _features(store, [found.transaction_ids[row] for row in rows])
        left_out += len(rows) - len(kept)
        kept_rows = rows[kept]
        kept_test = kept_rows
        slices.append(
            Examples(
                event_time_ms=found.event_time_ms[kept_rows],
                features=features,
                fraud=found.fraud[kept_rows],
                amount=found.amount_minor[kept_rows] / minor_per_major,
                weight=found.weight[kept_rows],
            )
        )
    parts = Split(*slices)
    refuse_thin(parts)
    return Gathered(parts, found.verified[kept_test], left_out)


def _features(store: ExampleStore, ids: list[str]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Places in `ids` that have features, ascending, and these."""
    features = np.empty((len(ids), len(get_feature_names())), dtype=np.float32)
    places_: list[int] = []
    for found, rows in store.read_features(ids):
        features[len(places_) : len(places_) + len(found)] = rows
        places_.extend(found)
    return np.array(places_, dtype=np.int64), features[: len(places_)]
