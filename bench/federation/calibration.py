"""A shared network whose logits are honest odds: its last layer scaled and moved as the product's calibration rounds find it. Pure.

Each retailer gives its histogram of logits over examples that it kept back; only their mean is needed, so that it could travel
masked. Averaged networks shrink towards zero where participants know different things, and their odds with them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from federation.learning.learner import Arrays
from federation.learning.numpy_learner import Data, compute_logits
from federation.numeric import calibration
from federation.refusals import UpdateRefusedError


def calibrate(arrays: Arrays, kept_back: Sequence[Data]) -> list[NDArray[np.float32]]:
    """The same network, calibrated; as it is where what was kept back has no fraud or nothing genuine.

    For each layer weights (inputs, units) and a bias (units,), float32.
    """
    sizes = [len(own.labels) for own in kept_back]
    given = [calibration.compute_histogram(compute_logits(arrays, own.features), own.labels) for own in kept_back]
    try:
        found = calibration.fit(np.average(given, axis=0, weights=sizes), sum(sizes))
    except UpdateRefusedError:
        return list(arrays)
    return [
        *arrays[:-2],
        (arrays[-2] * np.float32(found.slope)).astype(np.float32),
        (arrays[-1] * np.float32(found.slope) + np.float32(found.offset)).astype(np.float32),
    ]
