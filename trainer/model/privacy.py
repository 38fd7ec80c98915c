"""What a training by DP-SGD gives away: from (noise, sampling rate, steps) to (epsilon, delta). Pure, by dp-accounting.

It covers the network's weights, for one example added or removed. Not covered: the scales of the first layer (frozen in a warm
start), the epoch that early stop chose, calibration and thresholds; and what earlier trainings on the same examples gave
away, which adds up along the lineage.
"""


def compute_epsilon(noise_multiplier: float, sampling_rate: float, steps: int, delta: float) -> float:
    """Epsilon of `steps` steps, each of which takes every example with probability `sampling_rate` and adds Gaussian noise.

    Rényi accounting (Mironov, 2017): an upper bound, in milliseconds. 0 for no step.
    """
    if not steps:
        return 0.0
    # Two seconds to load, with SciPy below it, which only a private training needs.
    import dp_accounting  # type: ignore[import-untyped]  # noqa: PLC0415
    from dp_accounting.rdp import RdpAccountant  # type: ignore[import-untyped]  # noqa: PLC0415

    step = dp_accounting.PoissonSampledDpEvent(sampling_rate, dp_accounting.GaussianDpEvent(noise_multiplier))
    return float(RdpAccountant().compose(dp_accounting.SelfComposedDpEvent(step, steps)).get_epsilon(delta))
