"""Numbers to ring words and back, so that a sum of words is the sum of the numbers. Pure.

A value x in [-bound, bound] travels as x * scale, rounded to a neighbour at random so that its mean stays right (stochastic
rounding; Gupta et al. 2015), negative ones as two's complement. `FixedPoint` refuses a configuration whose sum over the whole
cohort could leave the ring, so no sum ever overflows. What lies beyond the bound is clipped, counted and reported.
"""

import math
from typing import Annotated, NamedTuple

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from federation.numeric.masks import RING_TYPES, Stream, Words
from federation.refusals import MaskingRefusedError


class Encoded(NamedTuple):
    """Words of the ring, and which share of the values lay beyond the bound."""

    words: Words
    clip_rate: float


class FixedPoint(Struct, frozen=True, kw_only=True):
    """How values travel in the ring of `bits` for at most `addends` participants."""

    bits: Annotated[int, Meta(ge=8, le=64)]
    scale: float
    bound: float
    """Largest absolute value of a single participant."""
    addends: Annotated[int, Meta(ge=1)]

    def __post_init__(self) -> None:
        if self.bits not in RING_TYPES:
            raise MaskingRefusedError("plan", f"a ring of {self.bits} bits: it has 8, 16, 32 or 64")
        if not (math.isfinite(self.scale) and math.isfinite(self.bound) and self.scale > 0 and self.bound > 0):
            raise MaskingRefusedError("plan", "fields scale and bound are finite and positive")
        if self.largest_sum > 2 ** (self.bits - 1) - 1:
            raise MaskingRefusedError(
                "overflow",
                f"{self.addends} values of up to {self.bound:g} at scale {self.scale:g} do not fit a ring of {self.bits} bits",
            )

    @property
    def largest_sum(self) -> int:
        """In steps; one step more per participant, since rounding may go up."""
        return self.addends * (math.floor(self.scale * self.bound) + 1)

    def encode(self, values: NDArray[np.floating], stream: Stream) -> Encoded:
        """`values` of shape (n,), finite, as words; `stream` throws the coins."""
        steps = values.astype(np.float64) * self.scale
        if not np.isfinite(steps).all():
            raise MaskingRefusedError("words", "values must be finite")
        edge = self.scale * self.bound
        beyond = float(np.count_nonzero(np.abs(steps) > edge)) / max(len(steps), 1)
        np.clip(steps, -edge, edge, out=steps)
        below = np.floor(steps)
        below += stream.draw_uniform(len(steps)) < steps - below
        return Encoded(below.astype(np.int64).astype(RING_TYPES[self.bits]), beyond)

    def decode(self, total: Words) -> NDArray[np.float64]:
        """The sum's numbers: words above half of the ring are negative. From words (n,) to float64 numbers (n,)."""
        signed = total.view(np.dtype(f"<i{total.dtype.itemsize}"))
        return signed.astype(np.float64) / self.scale


def choose_finest(bits: int, bound: float, addends: int) -> FixedPoint:
    """The finest steps with which `addends` values of up to `bound` fit; 52 bits of float64 bound them too."""
    steps = (2 ** (bits - 1) - 1) // addends - 1
    if steps < 1:
        raise MaskingRefusedError("overflow", f"a ring of {bits} bits has no room for {addends} participants")
    return FixedPoint(bits=bits, scale=min(steps, 2**52) / bound * (1 - 2**-50), bound=bound, addends=addends)
