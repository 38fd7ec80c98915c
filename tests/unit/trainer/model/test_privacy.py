"""What a private training gives away."""

import math

from trainer.model.privacy import compute_epsilon


def test_no_step_gives_nothing_away() -> None:
    assert compute_epsilon(1.0, 0.01, 0, 1e-5) == 0.0


def test_one_whole_step_is_the_gaussian_mechanism() -> None:
    """Rényi: epsilon(alpha) = alpha / (2 sigma^2), and its conversion lies under the classic alpha + log(1/delta)/(alpha-1)."""
    classic = min(alpha / (2 * 16) + math.log(1e5) / (alpha - 1) for alpha in range(2, 200))
    found = compute_epsilon(4.0, 1.0, 1, 1e-5)
    assert 0.8 * classic < found <= classic


def test_more_noise_fewer_steps_and_smaller_samples_give_away_less() -> None:
    base = compute_epsilon(1.0, 0.01, 1_000, 1e-5)
    assert compute_epsilon(2.0, 0.01, 1_000, 1e-5) < base
    assert compute_epsilon(1.0, 0.005, 1_000, 1e-5) < base
    assert compute_epsilon(1.0, 0.01, 2_000, 1e-5) > base
    # TensorFlow Privacy's tutorial (60,000 examples, batches of 250, noise 1.3, 15 epochs, delta 1e-5) said 1.18 by an older
    # conversion, that of Canonne et al. (2020) is tighter.
    assert 0.85 < compute_epsilon(1.3, 250 / 60_000, 3_600, 1e-5) < 1.18
