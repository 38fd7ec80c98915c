"""What leaves a participant: its update of an attempt, quantised or under masks, and what quantisation still owes.

Nothing of it is stored: a crash is one participant that dropped out of the attempt, and costs what is owed, which is a little accuracy.
Knows no log, no outbox and nothing of what a participant remembers.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from contract.federation.messages import (
    KeyList,
    MaskKeys,
    ParticipantMessage,
    RoundPlan,
    ShareList,
    SurvivorList,
    Update,
    encode_message,
)
from contract.federation.settings import ParticipantSettings
from federation.learning.learner import Trained
from federation.messages.envelope import Roster
from federation.messages.sealing import RandomBytes
from federation.numeric.compression import Compressed, compress_with_feedback
from federation.numeric.masks import Stream
from federation.participant import contribution
from federation.participant.contribution import Contribution
from federation.plan_parameters import choose_fixed_point, compute_weight
from federation.refusals import EnvelopeRefusedError
from federation.secagg.masked_sum import build_masking_plan
from federation.secagg.member_side import MaskingMember

Lists = KeyList | ShareList | SurvivorList
"""What a participant that masks answers to."""


class LocalUpdates:
    """Of one participant, attempt after attempt. Used by one thread."""

    def __init__(self, name: str, federation: str, settings: ParticipantSettings, random: RandomBytes) -> None:
        self.clipped = 0
        """Updates that were cut at the clipping norm before they left."""
        self.beyond = 0.0
        """Share of the newest masked update's numbers that lay beyond the bound of its fixed point."""
        self._name = name
        self._federation = federation
        self._settings = settings
        self._random = random
        self._masked: _Masked | None = None
        self._residual: NDArray[np.float32] | None = None
        """What quantisation still owes."""
        self._sent: Compressed | None = None
        """The newest quantised update, until it is known what became of it."""

    def quantise(self, plan: RoundPlan, given: Contribution, result: Trained) -> Update:
        """Called once for each update that leaves in mode robust.

        What rounding takes away is owed to the next update, unless privacy bounds what one may hold.
        """
        self.clipped += given.clipped
        owed = self._residual if plan.privacy.level == "none" else None
        owed = owed if owed is not None and owed.shape == given.values.shape else None
        coins = Stream(self._random(32))
        self._sent = compress_with_feedback(given.values, owed, plan.bits, coins, zstd_level=plan.zstd_level)
        counts = (result.examples, result.frauds) if plan.privacy.level == "none" else (0, 0)
        # At level client nothing protects a single update but that nobody else sees it.
        shows = self._settings.cross_site and plan.privacy.level != "client"
        return Update(payload=self._sent.data, examples=counts[0], frauds=counts[1], metrics={}, cross_site=shows)

    def mask(self, plan: RoundPlan, given: Contribution, result: Trained, roster: Roster) -> MaskKeys:
        """Called once for each update that leaves in mode masked. Gives its keys; then `answer` gives the rest, until `forget`.

        `roster` gives the keys of the others. Raises MaskingRefusedError where the plan asks for what must not be.
        """
        self.clipped += given.clipped
        self._masked = _Masked(plan, given, result, self._member(plan, roster))
        return self._masked.member.make_keys()

    def answer(self, message: Lists, at_ms: int) -> tuple[ParticipantMessage, bool] | None:
        """The answer, and whether it is for the coordinator alone; None where no update under masks is under way.

        Raises EnvelopeRefusedError for a copy of a list that was answered, which is dropped; MaskingRefusedError for another list
        of its stage, and for whatever else must not be answered: then it is over.
        """
        masked = self._masked
        if masked is None:
            return None
        masked.handle_once(message)
        if isinstance(message, KeyList):
            return masked.member.make_shares(message.envelopes, at_ms), False
        if isinstance(message, ShareList):
            fixed = choose_fixed_point(self._federation, masked.plan)
            encoded = fixed.encode(masked.numbers(self._random), Stream(self._random(32)))
            self.beyond = encoded.clip_rate
            return masked.member.mask(message.envelopes, encoded.words, at_ms), False
        return masked.member.make_unmasking(message), True

    def forget(self) -> None:
        """The attempt is over for this participant: its masks and their secrets go."""
        self._masked = None

    def note_missed(self) -> None:
        """The newest quantised update came too late: it pays nothing of what is owed."""
        self._sent = None

    def settle(self, *, counted: bool) -> None:
        """What became of the newest quantised update: from here on what it left is owed, or what was owed before it."""
        if counted and self._sent is not None:
            self._residual = self._sent.residual
        self._sent = None

    def _member(self, plan: RoundPlan, roster: Roster) -> MaskingMember:
        return MaskingMember(
            build_masking_plan(self._federation, plan),
            self._name,
            roster,
            members_min=self._settings.cohort_min,
            random=self._random,
        )


class _Masked:
    """One update under masks."""

    def __init__(self, plan: RoundPlan, given: Contribution, result: Trained, member: MaskingMember) -> None:
        self.plan = plan
        self.member = member
        self._given = given
        self._result = result
        self._followed: frozenset[bytes] = frozenset()
        """Digests of the lists that were answered: a copy of one is not another."""

    def handle_once(self, message: Lists) -> None:
        """Raises EnvelopeRefusedError for a copy of what was heard."""
        digest = hashlib.sha256(encode_message(message)).digest()
        if digest in self._followed:
            raise EnvelopeRefusedError("duplicate", "it was answered before")
        self._followed |= {digest}

    def numbers(self, random: RandomBytes) -> NDArray[np.float64]:
        """See federation.participant.contribution.weigh_contribution."""
        weight = compute_weight(self.plan, self._result.examples, self._result.frauds)
        return contribution.weigh_contribution(self.plan, self._given, weight, random)
