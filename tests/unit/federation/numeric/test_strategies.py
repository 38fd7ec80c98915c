"""Server strategies follow the formulas of their papers."""

from typing import Literal

import numpy as np
import pytest

from contract.federation.settings import StrategySettings
from federation.numeric.strategies import apply_step, compute_staleness_weight, decode_state, encode_state, initialise
from federation.refusals import UpdateRefusedError

Name = Literal["fedavg", "fedprox", "fedadam", "fedyogi", "fedavgm", "fedbuff"]
MODEL = np.array([1.0, -2.0, 0.5])
DELTAS = [np.array([0.1, 0.2, -0.4]), np.array([0.3, -0.1, 0.0]), np.array([-0.2, 0.5, 0.1])]


def run(settings: StrategySettings) -> np.ndarray:
    model, state = MODEL, initialise(settings, 3)
    for delta in DELTAS:
        model, state = apply_step(settings, state, model, delta)
        state = decode_state(encode_state(state), settings, 3)  # a checkpoint after every round changes nothing
    return model


@pytest.mark.parametrize("name", ["fedavg", "fedprox", "fedbuff"])
def test_fedavg_adds_the_mean_update_times_the_rate(name: Name) -> None:
    settings = StrategySettings(name=name, learning_rate=0.5)
    np.testing.assert_allclose(run(settings), MODEL + 0.5 * sum(DELTAS))


def test_fedavgm_keeps_what_moved_before() -> None:
    settings = StrategySettings(name="fedavgm", learning_rate=0.7, momentum=0.9)
    m1 = DELTAS[0]
    m2 = 0.9 * m1 + DELTAS[1]
    m3 = 0.9 * m2 + DELTAS[2]
    np.testing.assert_allclose(run(settings), MODEL + 0.7 * (m1 + m2 + m3))


@pytest.mark.parametrize("name", ["fedadam", "fedyogi"])
def test_adaptive_strategies_follow_algorithm_2_of_reddi_and_others(name: Name) -> None:
    settings = StrategySettings(name=name, learning_rate=0.1, beta1=0.9, beta2=0.99, tau=1e-2)
    x, m, v = MODEL.copy(), np.zeros(3), np.full(3, 1e-4)
    for delta in DELTAS:
        m = 0.9 * m + 0.1 * delta
        square = delta**2
        v = 0.99 * v + 0.01 * square if name == "fedadam" else v - 0.01 * square * np.sign(v - square)
        x = x + 0.1 * m / (np.sqrt(v) + 1e-2)
    np.testing.assert_allclose(run(settings), x)


def test_a_strategy_that_was_changed_between_rounds_begins_anew() -> None:
    momentum = StrategySettings(name="fedavgm", momentum=0.9)
    _, state = apply_step(momentum, initialise(momentum, 3), MODEL, DELTAS[0])
    adam = StrategySettings(name="fedadam")
    changed, _ = apply_step(adam, state, MODEL, DELTAS[1])
    fresh, _ = apply_step(adam, initialise(adam, 3), MODEL, DELTAS[1])
    np.testing.assert_array_equal(changed, fresh)


def test_stale_updates_are_weighed_by_the_root_of_their_age() -> None:
    assert [compute_staleness_weight(age) for age in (0, 3, 8)] == [1, 0.5, 1 / 3]


def test_what_does_not_fit_is_refused() -> None:
    settings = StrategySettings(name="fedavgm")
    state = initialise(settings, 3)
    with pytest.raises(UpdateRefusedError, match="shape"):
        apply_step(settings, state, MODEL, np.zeros(2))
    with pytest.raises(UpdateRefusedError, match="another model"):
        decode_state(encode_state(state), settings, 4)
    with pytest.raises(UpdateRefusedError, match="damaged"):
        decode_state(b"\x00", settings, 3)
    with np.errstate(over="ignore"), pytest.raises(UpdateRefusedError, match="not_finite"):
        apply_step(settings, state, np.full(3, 1e308), np.full(3, 1e308))
    assert decode_state(b"", settings, 3) == state
