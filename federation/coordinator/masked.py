"""Mode masked as a collection: the coordinator's side of secure aggregation, fed from the log. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contract.federation.fields import Stage
from contract.federation.messages import (
    KeyList,
    MaskedUpdate,
    MaskKeys,
    MaskShares,
    RoundPlan,
    ShareList,
    StageOver,
    SurvivorList,
    Unmasking,
)
from federation.coordinator.attempt import read_closing
from federation.coordinator.collection import CLIP_RATE, Closing, Combined
from federation.messages.cross_site import Willing
from federation.messages.envelope import Opened
from federation.numeric.tensors import count_summed, has_clipped_count
from federation.plan_parameters import choose_fixed_point
from federation.refusals import MaskingRefusedError
from federation.secagg.coordinator_side import MaskingCoordinator
from federation.secagg.masked_sum import build_masking_plan


class MaskedCollection:
    """See federation.coordinator.collection.Collection. Holds one masked vector of each member."""

    def __init__(self, federation: str, plan: RoundPlan) -> None:
        self._plan = plan
        self._fixed = choose_fixed_point(federation, plan)
        self._masking = MaskingCoordinator(build_masking_plan(federation, plan))
        self._told: Closing | None = None
        """Given by `make_closing`, not yet on the log; the masking has moved on already."""

    def accept(self, stage: Stage, opened: Opened) -> None:  # noqa: ARG002 - the message's type says it
        sender, message = opened.envelope.sender, opened.message
        if isinstance(message, MaskKeys):
            self._masking.take_keys(sender, message, opened.signed)
        elif isinstance(message, MaskShares):
            self._masking.take_shares(sender, message, opened.signed)
        elif isinstance(message, MaskedUpdate):
            self._masking.take_update(sender, message)
        elif isinstance(message, Unmasking):
            self._masking.take_unmasking(sender, message)

    def accept_late(self, opened: Opened, staleness: int) -> None:  # noqa: ARG002 - masks are of one attempt
        raise MaskingRefusedError("stage", "what is masked belongs to its own attempt")

    def make_closing(self, stage: Stage, members: Sequence[str]) -> Closing:
        if self._told is None or read_closing(self._told).stage != stage:
            self._told = self._close(stage, members)
        return self._told

    def apply_closing(self, message: Closing) -> None:
        if self._told is None:
            stage, members = read_closing(message)
            self._close(stage, members)
        self._told = None

    def combine(self, members: frozenset[str] | None = None) -> Combined:
        if members is not None:
            raise MaskingRefusedError("stage", "only the sum of all is known")
        total = self._masking.compute_result()
        values = self._fixed.decode(total.words)
        size, cohort = count_summed(self._plan), len(total.survivors)
        weight = float(values[size])
        if weight <= 0:
            raise MaskingRefusedError("words", "the weights sum up to nothing")
        figures = {"liars": float(len(total.liars))}
        if has_clipped_count(self._plan):
            # A sum of zeros and ones, but for the rounding; a liar may have put anything there.
            found = min(max(round(values[size + 1] / self._plan.weight_max), 0), cohort)
            figures[CLIP_RATE] = found / cohort
        return Combined(values[:size] / weight, weight, cohort, figures, total.liars)

    def measure_agreement(self, update: NDArray[np.float64]) -> dict[str, float]:  # noqa: ARG002 - single ones are not known
        """Always empty: behind masks no single update is known. `update`: (d,)."""
        return {}

    def list_separable(self) -> tuple[str, ...]:
        return ()

    def list_willing(self) -> dict[str, Willing]:
        return {}

    def _close(self, stage: Stage, members: Sequence[str]) -> KeyList | ShareList | SurvivorList | StageOver:
        if stage == "keys":
            return self._masking.close_keys(members)
        if stage == "shares":
            return self._masking.close_shares(members)
        if stage == "updates":
            return self._masking.close_updates(members)
        return StageOver(stage=stage, members=tuple(members))
