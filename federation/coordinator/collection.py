"""What an attempt collects, and what it makes of it: one port for both confidentiality modes. Pure and deterministic.

A collection lives as long as its attempt and is never stored: a restarted coordinator fills a new one from the log.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from contract.federation.fields import Stage
from contract.federation.messages import KeyList, ShareList, StageOver, SurvivorList
from federation.messages.cross_site import Willing
from federation.messages.envelope import Opened

Closing = KeyList | ShareList | SurvivorList | StageOver
"""What everyone is told when a stage is over."""


CLIP_RATE = "clip_rate"
"""Share of the updates that were cut at the clipping norm, by their senders or here; only where no privacy is promised to them."""


class Combined(NamedTuple):
    """The attempt's result: one update for the strategy."""

    update: NDArray[np.float64]
    """Shape (parameters,): the weighted mean of the updates, or what the robust rule made of them."""
    weight: float
    """Of all together, in the plan's weight units."""
    participants: int
    figures: dict[str, float]
    """What can be said of the collection without saying it of anyone: clipped, refused by the rule."""
    blamed: tuple[str, ...] = ()
    """Who broke the protocol, provably."""


class Collection(Protocol):
    """One attempt's messages. Called by one coordinator; changes nothing but its own memory."""

    def accept(self, stage: Stage, opened: Opened) -> None:
        """Called for each message that the round waits for, once per sender and stage.

        Raises FederationRefusedError where its contents do not fit; then nothing was kept.
        """
        ...

    def accept_late(self, opened: Opened, staleness: int) -> None:
        """Called for an update of an earlier round, `staleness` models old, where the plan allows it (FedBuff); as `accept`."""
        ...

    def make_closing(self, stage: Stage, members: Sequence[str]) -> Closing:
        """Called when `stage` is over: what everyone is told. Raises FederationRefusedError where it cannot continue.

        Either `closed` follows, or the collection is thrown away.
        """
        ...

    def apply_closing(self, message: Closing) -> None:
        """Called when what `make_closing` gave stands on the log, also in a replay: from here on it is so."""
        ...

    def combine(self, members: frozenset[str] | None = None) -> Combined:
        """Called once the last stage is closed; takes seconds. Raises FederationRefusedError where there is no result.

        `members`: as if only these had taken part, to find out what each contributes.
        """
        ...

    def measure_agreement(self, update: NDArray[np.float64]) -> dict[str, float]:
        """Called after `combine`: the cosine of each one's own update with the combined one, for those of `list_separable`.

        `update`: (d,), the d values of a model that are summed; a cosine is within [-1, 1].
        """
        ...

    def list_separable(self) -> tuple[str, ...]:
        """Of whom `combine` can be asked apart: nobody in mode masked, where only the sum is known."""
        ...

    def list_willing(self) -> dict[str, Willing]:
        """Called once the last stage is closed: of the members, those that let others see their update; in the order of the cohort."""
        ...
