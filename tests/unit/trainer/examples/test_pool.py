"""Which examples a training takes, and what for."""

import numpy as np
import pytest

from contract.errors import TrainingRefusedError
from trainer.examples.labels import Known, Revision, Terms
from trainer.examples.pool import UNVERIFIED, Outline, build_outline, choose
from trainer.examples.reservoir import GENUINE

ROWS = 1_000
RIPE = 800
TERMS = Terms(
    as_of_ms=10**6,
    ripe_before_ms=RIPE,
    unlabelled_weight=0.5,
    trusted_sources=frozenset({"chargeback"}),
    trust_unlabelled=True,
)


def known(at: int) -> Known:
    """Every tenth is a fraud, known at once; of the others nobody says anything."""
    source = "customer" if at % 100 == 0 else "chargeback"
    told = (Revision(at, at, source, True, "bots" if at % 20 else "testing"),) if at % 10 == 0 else ()
    return Known(f"t-{at}", at, at, "allow", False, 250, told)


@pytest.fixture
def found() -> Outline:
    return build_outline([[known(at) for at in range(start, start + 100)] for start in range(0, ROWS, 100)], TERMS)


def test_an_outline_holds_what_is_known_in_order(found: Outline) -> None:
    assert len(found) == RIPE + 1 - 81 + 100  # genuine ones that are ripe, and every fraud
    assert found.fraud.sum() == 100
    assert np.all(np.diff(found.event_time_ms) > 0)
    assert set(found.weight[found.fraud]) == {1.0}
    assert set(found.weight[~found.fraud]) == {0.5}
    assert set(found.kind[~found.fraud]) == {GENUINE}
    assert len(set(found.kind[found.fraud])) == 2
    assert (found.verified[found.fraud] == UNVERIFIED).sum() == 10
    assert set(found.verified[~found.fraud]) == {0}


def test_young_frauds_are_learned_from_and_no_slice_holds_older_ones_than_the_slice_before(found: Outline) -> None:
    chosen = choose(found, newest=ROWS, replayed=0, seed=1)
    slices = [chosen.train, chosen.validation, chosen.test]
    assert sorted(np.concatenate(slices)) == list(range(len(found)))
    for fraud in (True, False):
        times = [found.event_time_ms[rows][found.fraud[rows] == fraud] for rows in slices]
        assert [len(each) for each in times] == pytest.approx([len(found) * (fraud * 0.12 + (not fraud) * 0.88) * share for share in (0.7, 0.15, 0.15)], rel=0.1)  # fmt: skip
        assert times[0].max() < times[1].min()
        assert times[1].max() < times[2].min()
    assert found.event_time_ms[chosen.train].max() > 600


def test_the_share_of_frauds_is_that_of_what_is_old_enough(found: Outline) -> None:
    chosen = choose(found, newest=ROWS, replayed=0, seed=1)
    assert chosen.fraud_share == pytest.approx(81 / (81 + 720 * 0.5))
    assert found.weight[found.fraud].sum() / found.weight.sum() > chosen.fraud_share


def test_older_ones_are_replayed_to_learn_from_only(found: Outline) -> None:
    chosen = choose(found, newest=300, replayed=100, seed=1)
    assert chosen.replayed == 100
    assert chosen.train[:100].max() < len(found) - 300
    assert min(chosen.train[100:].min(), chosen.validation.min(), chosen.test.min()) >= len(found) - 300
    assert np.all(np.diff(chosen.train) > 0)
    again = choose(found, newest=300, replayed=100, seed=1)
    assert np.array_equal(chosen.train, again.train)


def test_nothing_or_one_kind_alone_is_refused() -> None:
    for rows in ([], [known(at) for at in range(0, ROWS, 10)], [known(at) for at in range(ROWS) if at % 10]):
        with pytest.raises(TrainingRefusedError):
            choose(build_outline([rows], TERMS), newest=100, replayed=0, seed=1)
