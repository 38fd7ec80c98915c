"""One retailer's side as pure handlers: `hear` what the coordinator says, then do the `task` and say what is in the outbox.

The coordinator is believed only where its signature holds under keys whose fingerprint this retailer was given by another way.
Invariant: for each attempt keys are made once, and that is on disk before they leave; the attempt's secrets live in memory
alone, so a crash is one participant that dropped out. Knows no clock, no transport, no TensorFlow.
"""

import hashlib
import secrets
from collections import deque

import numpy as np
from numpy.typing import NDArray

from contract.federation import (
    COORDINATOR,
    Adoption,
    Claim,
    Failure,
    GlobalModel,
    Halted,
    KeyList,
    ParticipantMessage,
    Published,
    Refusal,
    Roster,
    RoundPlan,
    Shapes,
    ShareList,
    SiteFigures,
    SiteModels,
    StageOver,
    SurvivorList,
    Update,
    encode_message,
)
from contract.federation_settings import ParticipantSettings
from federation import contribution, cross_site, objections
from federation.admission import identity_of
from federation.budget import spend_of
from federation.compression import Compressed, compress_with_feedback
from federation.coordinator_state import GlobalWeights, weights_of
from federation.envelope import Inbox, Opened
from federation.identity import Identity, PublicIdentity
from federation.learner import Adopted, Arrays, Task, Trained
from federation.masks import Stream
from federation.participant_state import ParticipantState, Saying
from federation.refusals import EnvelopeRefusedError, FederationRefusedError, MaskingRefusedError
from federation.sealing import RandomBytes
from federation.secagg import Attempts, masking_plan
from federation.secagg_member import MaskingMember
from federation.tensors import unflatten
from federation.terms import fixed_point_of, weight_of
from federation.transports.ports import LogName, Record

MODELS_KEPT = 3
"""The newest global models: a plan names the one it starts from."""
WILLING_KEPT = 3
"""The newest rounds in which it agreed to be compared."""
EARLY_MAX = 320
"""The newest records of the models log, kept until the first claim says whose they are: one message of the largest size."""
Progress = KeyList | ShareList | SurvivorList | Failure | Published | Halted


class Participant:
    """One retailer in one federation. Used by one thread."""

    def __init__(
        self,
        identity: Identity,
        federation: str,
        settings: ParticipantSettings,
        state: ParticipantState,
        *,
        random: RandomBytes = secrets.token_bytes,
        shapes: Shapes | None = None,
    ) -> None:
        """`random` gives the secrets of masking; seeded in simulation only. `shapes`: of the only model that is learned here."""
        self._shapes = shapes
        self.state = state
        self.outbox: list[Saying] = []
        self.task: Task | None = None
        """To be trained; then call `trained` or `unable`."""
        self.shown: cross_site.Shown | None = None
        """Models of others to be judged on this retailer's newest examples; then call `judged`."""
        self.dropped: dict[str, int] = {}
        self._given: contribution.Contribution | None = None
        """What goes into the sum of the attempt under way."""
        self.clipped = 0
        """Updates that were cut at the clipping norm before they left."""
        self.beyond = 0.0
        """Share of the newest masked update's numbers that lay beyond the bound of its fixed point."""
        self.last_failure = ""
        self._identity = identity
        self._federation = federation
        self._settings = settings
        self._random = random
        self._plan: RoundPlan | None = None
        self._early: RoundPlan | None = None
        """A plan whose global model has not come: the two logs are not one order."""
        self._member: MaskingMember | None = None
        self._followed: set[bytes] = set()
        """Digests of the lists of this attempt that were answered: a copy of one is not another."""
        self._residual: NDArray[np.float32] | None = None
        """What quantisation still owes; lost in a crash, which costs a little accuracy and nothing else."""
        self._sent: Compressed | None = None
        self._trained: tuple[int, int, Trained] | None = None
        """Round, base version and what training gave: another attempt of the round uses it again."""
        self._unclaimed: deque[Record] = deque(maxlen=EARLY_MAX)
        self._inboxes = {"control": Inbox(federation, identity), "models": Inbox(federation, identity)}

    @property
    def name(self) -> str:
        """On the roster."""
        return self._identity.name

    @property
    def quiet(self) -> bool:
        """Whether no earlier record is needed again after a restart."""
        pending = self._unclaimed or any(inbox.pending for inbox in self._inboxes.values())
        return not pending and self.shown is None

    @property
    def membership(self) -> str:
        """`approved`, `revoked`, `left`, or `unknown` where no roster names these keys."""
        member = self.state.members.get(self.name)
        if member is None or member.signing_key != self._identity.public.signing_key:
            return "unknown"
        return member.status

    def hear(self, record: Record) -> None:
        """One record of the control or the models log, whoever wrote it and whatever it holds.

        The two logs are not one order: a model may be read before the claim that says whose it is.
        """
        if record.log == "models" and self.state.coordinator is None:
            self._unclaimed.append(record)
            return
        try:
            opened = self._inboxes[record.log].take(record.value, roster=self._known, now_ms=record.appended_ms)
        except FederationRefusedError as error:
            self._drop(error)
            return
        for each in () if opened is None else opened.every():
            try:
                self._heed(record.log, each, record.appended_ms)
            except FederationRefusedError as error:
                self._drop(error)

    def _drop(self, error: FederationRefusedError) -> None:
        self.dropped[error.reason] = self.dropped.get(error.reason, 0) + 1

    def to_adopt(self) -> GlobalWeights | None:
        """The newest global model, where this retailer has not decided on it yet."""
        newest = self.state.models.get(max(self.state.models, default=-1))
        if newest is None or newest.version <= self.state.adopted_version or self._foreign(newest.shapes):
            return None
        waits = newest.calibration_after >= 0 and self.state.given_up <= newest.calibration_after
        # Statistics change what weights mean that nobody has learned yet.
        return None if waits or newest.purpose == "statistics" else newest

    def adopted(self, version: int, result: Adopted) -> None:
        """The decision was made; the coordinator is told, with figures only where settings say so."""
        self.state.adopted_version = version
        if self.membership == "approved" and version > 0:
            metrics = result.metrics if self._settings.share_metrics else {}
            self.outbox.append(Saying(Adoption(model_version=version, decision=result.decision, metrics=metrics)))

    def judged(self, figures: dict[str, float]) -> None:
        """What became of `shown`: average precision by whose model; of whatever could not be measured, nothing."""
        shown, self.shown = self.shown, None
        if shown is None:
            return
        self.state.willing.pop(shown.model_version, None)
        if self.membership == "approved":
            self.outbox.append(Saying(SiteFigures(model_version=shown.model_version, figures=figures)))

    def trained(self, result: Trained) -> None:
        """Training of `task` is done; the first message of the attempt goes out, if it is still under way."""
        task, plan = self.task, self._plan
        self.task = None
        if task is None or plan is None or (plan.round, plan.attempt) != (task.round, task.attempt):
            return
        if plan.privacy.level == "sample" and result.examples < plan.privacy.examples_min:
            self._refuse(plan, "data")
            return
        self._trained = (plan.round, plan.base_version, result)
        try:
            self._begin(plan, result)
        except ValueError:
            self._refuse(plan, "training")
        except FederationRefusedError as error:
            self.last_failure = str(error)
            self._refuse(plan, "keys")

    @property
    def plan(self) -> RoundPlan | None:
        """Of the attempt that this participant has a part in."""
        return self._plan

    def trained_late(self, plan: RoundPlan, base: Arrays, result: Trained) -> None:
        """Training took longer than its round; in a buffered federation the update still counts.

        `base` is what training began from: by now the model may be too old to be kept here.
        """
        if not plan.staleness_max:
            return
        try:
            given = contribution.of(plan, base, result)
        except ValueError:
            return
        if self.state.joined.comes_before(plan):
            self.state.joined.admit(plan)
            self._say(plan, self._robust_update(plan, self._leaving(given), result))

    def unable(self, reason: str) -> None:
        """Training of `task` is impossible; `reason` is a code of REFUSALS."""
        self.task = None
        if self._plan is not None:
            self._refuse(self._plan, reason)

    def _known(self, name: str) -> PublicIdentity | None:
        if name == COORDINATOR:
            return self.state.coordinator
        member = self.state.members.get(name)
        return None if member is None else identity_of(member)

    def _heed(self, log: LogName, opened: Opened, at_ms: int) -> None:
        envelope, message, state = opened.envelope, opened.message, self.state
        if envelope.sender != COORDINATOR:
            raise EnvelopeRefusedError("unknown_sender", "only the coordinator speaks here")
        if (log == "models") != isinstance(message, GlobalModel):
            raise EnvelopeRefusedError(
                "refused", "a copy on another log than its own, where no order holds between them"
            )
        if isinstance(message, Claim):
            self._claimed(opened, message)
        elif isinstance(message, GlobalModel):
            # Of whatever epoch: what a coordinator wrote before it was fenced off stands, and the newest's claim may come later.
            self._received(message, envelope.round, at_ms)
        elif envelope.epoch != state.epoch:
            raise EnvelopeRefusedError("wrong_round", "of a coordinator that another has followed")
        elif isinstance(message, Roster):
            if message.version > state.roster_version:
                state.roster_version = message.version
                state.members = {member.name: member for member in message.members}
        elif isinstance(message, RoundPlan):
            self._planned(message, at_ms)
        else:
            self._heed_of_round(opened, at_ms)

    def _heed_of_round(self, opened: Opened, at_ms: int) -> None:
        message, number, attempt = opened.message, opened.envelope.round, opened.envelope.attempt
        if isinstance(message, StageOver):
            self._closed(number, attempt, message)
        elif isinstance(message, SiteModels):
            self._showed(number, attempt, message)
        elif isinstance(message, Progress):
            self._follow(number, attempt, message, at_ms)

    def _claimed(self, opened: Opened, message: Claim) -> None:
        keys = PublicIdentity(name=COORDINATOR, signing_key=message.signing_key, sealing_key=message.sealing_key)
        if keys.fingerprint != self._settings.coordinator_fingerprint:
            raise EnvelopeRefusedError("unsigned", "the keys are not those of the fingerprint in the settings")
        if opened.envelope.epoch <= self.state.epoch:
            raise EnvelopeRefusedError("duplicate", "of a coordinator that another has followed")
        self.state.epoch, self.state.coordinator = opened.envelope.epoch, keys
        while self._unclaimed:
            self.hear(self._unclaimed.popleft())

    def _received(self, message: GlobalModel, round_number: int, at_ms: int) -> None:
        model = weights_of(message, round_number)
        unflatten(model.shapes, model.payload)  # refused where lengths do not fit, or a value is not finite
        if model.version not in self.state.models:
            kept = sorted([*self.state.models.values(), model], key=lambda one: one.version)[-MODELS_KEPT:]
            self.state.models = {one.version: one for one in kept}
        if self._early is not None and self._early.base_version in self.state.models:
            self._planned(self._early, at_ms)

    def _planned(self, plan: RoundPlan, at_ms: int) -> None:
        self._check_new(plan)
        self._plan = self._early = self._member = self.task = None
        self._followed.clear()
        if self.name not in plan.cohort or self.membership != "approved":
            return
        if plan.base_version > max(self.state.models, default=-1):
            self._early = plan
            return
        self.state.heard = Attempts(round=plan.round, attempt=plan.attempt)
        objection = self._objection(plan, at_ms)
        if objection is not None:
            self._refuse(plan, objection)
            return
        self._plan = plan
        if self._trained is not None and self._trained[:2] == (plan.round, plan.base_version):
            self.task = self._task(plan)
            self.trained(self._trained[2])
        else:
            self.task = self._task(plan)

    def _check_new(self, plan: RoundPlan) -> None:
        """Raises EnvelopeRefusedError for a plan that was heard before: a copy, which anybody may have appended, ends nothing."""
        early, heard = self._early, self._plan
        older = early is not None and (plan.round, plan.attempt) < (early.round, early.attempt)
        if not older and self.state.heard.comes_before(plan) and self.state.joined.comes_before(plan):
            return
        if heard is not None and (heard.round, heard.attempt) == (plan.round, plan.attempt) and heard != plan:
            # No copy: the coordinator itself says two things of one attempt, and gets no further answer in it.
            self._plan = self._member = self.task = None
        raise EnvelopeRefusedError("wrong_round", "the attempt was announced before")

    def _objection(self, plan: RoundPlan, at_ms: int) -> str | None:
        """Why this retailer takes no part, as a code of REFUSALS."""
        found = objections.to_plan(plan, self._settings, self.state, foreign=self._foreign(plan.shapes))
        if found is None and plan.privacy.level != "none":
            spend = spend_of(
                self.state.spends,
                plan.privacy,
                plan.training,
                plan.purpose,
                epsilon_max=self._settings.epsilon_max,
                round_number=plan.round,
                attempt=plan.attempt,
                at_ms=at_ms,
            )
            if spend is None:
                return "budget"
            self.state.spends.append(spend)
        return found

    def _foreign(self, shapes: Shapes) -> bool:
        """Whether a model of these names and shapes is another than the one that is learned here."""
        return self._shapes is not None and shapes != self._shapes

    def _task(self, plan: RoundPlan) -> Task:
        base = self.state.models[plan.base_version]
        return Task(
            round=plan.round,
            attempt=plan.attempt,
            base=unflatten(base.shapes, base.payload),
            training=plan.training,
            privacy=plan.privacy,
            clip_norm=plan.clip_norm,
            seed=plan.seed,
            purpose=plan.purpose,
        )

    def _begin(self, plan: RoundPlan, result: Trained) -> None:
        base = self.state.models[plan.base_version]
        self._given = contribution.of(plan, unflatten(base.shapes, base.payload), result)
        update = self._leaving(self._given)
        self.state.joined.admit(plan)
        if plan.mode == "robust":
            self._say(plan, self._robust_update(plan, update, result))
            return
        self._member = MaskingMember(
            masking_plan(self._federation, plan),
            self.name,
            self._known,
            members_min=self._settings.cohort_min,
            random=self._random,
        )
        self._say(plan, self._member.keys(), sealed=False)

    def _robust_update(self, plan: RoundPlan, update: NDArray[np.float64], result: Trained) -> Update:
        """Quantised; what rounding takes away is owed to the next update, unless privacy bounds what one may hold."""
        owed = self._residual if plan.privacy.level == "none" and plan.purpose == "training" else None
        owed = owed if owed is not None and owed.shape == update.shape else None
        # What is masked gets its noise later, with its weight.
        update = contribution.noised(plan, update, self._random)
        coins = Stream(self._random(32))
        self._sent = compress_with_feedback(update, owed, plan.bits, coins, zstd_level=plan.zstd_level)
        metrics = result.metrics if self._settings.share_metrics else {}
        counts = (result.examples, result.frauds) if plan.privacy.level == "none" else (0, 0)
        # At level client nothing protects a single update but that nobody else sees it.
        shows = self._settings.cross_site and plan.purpose == "training" and plan.privacy.level != "client"
        if shows:
            self._agree(plan)
        return Update(payload=self._sent.data, examples=counts[0], frauds=counts[1], metrics=metrics, cross_site=shows)

    def _agree(self, plan: RoundPlan) -> None:
        willing = self.state.willing | {plan.base_version + 1: (plan.round, plan.attempt)}
        self.state.willing = {version: willing[version] for version in sorted(willing)[-WILLING_KEPT:]}

    def _leaving(self, given: contribution.Contribution) -> NDArray[np.float64]:
        """Called once for each update that leaves."""
        self.clipped += given.clipped
        return given.values

    def _closed(self, number: int, attempt: int, message: StageOver) -> None:
        """An update that came too late pays nothing of what is owed, unless a later round takes it in."""
        plan = self._plan
        if plan is None or (number, attempt) != (plan.round, plan.attempt) or plan.staleness_max:
            return
        if self.name not in message.members:
            self._sent = None

    def _showed(self, number: int, attempt: int, message: SiteModels) -> None:
        """Models of others, where this retailer agreed to that with its update of just this attempt, and has not judged them yet.

        So nobody can ask again and again with models made for the purpose, nor past what the settings have against a round.
        """
        if self.state.willing.get(message.model_version) != (number, attempt) or self._foreign(message.shapes):
            return
        found = cross_site.opened(message, self._identity, self._federation, number, attempt)
        if found is not None:
            self.shown = found

    def _follow(self, number: int, attempt: int, message: Progress, at_ms: int) -> None:
        if isinstance(message, Halted):
            self.state.given_up = max(self.state.given_up, number + 1)
            return
        if isinstance(message, Failure | Published):
            self._over(number, attempt, message)
        plan = self._plan
        if plan is None or (number, attempt) != (plan.round, plan.attempt):
            return
        if isinstance(message, Failure | Published):
            if isinstance(message, Published) and self._sent is not None and plan.purpose == "training":
                self._residual = self._sent.residual
            self._plan = self._member = self.task = self._sent = None
            return
        if self._member is None:
            return
        self._follow_once(message)
        try:
            answer, sealed = self._next_stage(plan, self._member, message, at_ms)
        except MaskingRefusedError as error:
            self.last_failure = str(error)
            self._refuse(plan, "keys")
            return
        self._say(plan, answer, sealed=sealed)

    def _over(self, number: int, attempt: int, message: Failure | Published) -> None:
        early = self._early
        if early is not None and (number, attempt) >= (early.round, early.attempt):
            self._early = None
        if isinstance(message, Failure) and message.final:
            self.state.given_up = max(self.state.given_up, number)

    def _follow_once(self, message: Progress) -> None:
        """A copy of a list that was answered is dropped; another list of its stage is for the member to refuse."""
        digest = hashlib.sha256(encode_message(message)).digest()
        if digest in self._followed:
            raise EnvelopeRefusedError("duplicate", "it was answered before")
        self._followed.add(digest)

    def _next_stage(
        self, plan: RoundPlan, member: MaskingMember, message: KeyList | ShareList | SurvivorList, at_ms: int
    ) -> tuple[ParticipantMessage, bool]:
        if isinstance(message, KeyList):
            return member.shares(message.envelopes, at_ms), False
        if isinstance(message, ShareList):
            fixed = fixed_point_of(self._federation, plan)
            encoded = fixed.encode(self._weighted(plan), Stream(self._random(32)))
            self.beyond = encoded.clip_rate
            return member.masked(message.envelopes, encoded.words, at_ms), False
        return member.unmasking(message), True

    def _weighted(self, plan: RoundPlan) -> NDArray[np.float64]:
        """See federation.contribution.weighted."""
        if self._trained is None or self._given is None:
            raise MaskingRefusedError("stage", "nothing was trained")
        result = self._trained[2]
        weight = weight_of(plan, result.examples, result.frauds)
        return contribution.weighted(plan, self._given, weight, self._random)

    def _refuse(self, plan: RoundPlan, reason: str) -> None:
        self._say(plan, Refusal(reason=reason))
        self._plan = self._member = self.task = None

    def _say(self, plan: RoundPlan, message: ParticipantMessage, *, sealed: bool = True) -> None:
        self.outbox.append(Saying(message, plan.round, plan.attempt, sealed))
