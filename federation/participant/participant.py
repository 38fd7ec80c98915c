"""One retailer's side as pure handlers: `handle_record` what the coordinator says, then do the `task` and say what is in the outbox.

The coordinator is believed only where its signature holds under keys whose fingerprint this retailer was given by another way.
Invariant: for each attempt keys are made once, and that is on disk before they leave; the attempt's secrets live in memory
alone, so a crash is one participant that dropped out. Knows no clock, no transport, no TensorFlow.
"""

import secrets
from collections import deque

from contract.federation.fields import COORDINATOR
from contract.federation.messages import (
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
)
from contract.federation.settings import ParticipantSettings
from federation.learning.learner import Adopted, Arrays, Task, Trained, build_task
from federation.messages import cross_site
from federation.messages.envelope import Opened
from federation.messages.foreign import translate_foreign_errors
from federation.messages.global_weights import GlobalWeights
from federation.messages.identity import Identity, PublicIdentity
from federation.messages.inbox import Inbox
from federation.messages.sealing import RandomBytes
from federation.numeric.tensors import unflatten
from federation.participant import contribution, objections, trust
from federation.participant.contribution import Contribution
from federation.participant.local_update import LocalUpdates
from federation.participant.peers import Word
from federation.participant.state import ParticipantState, Saying
from federation.privacy.budget import compute_spend
from federation.refusals import EnvelopeRefusedError, FederationRefusedError, MaskingRefusedError
from federation.secagg.masked_sum import Attempts
from federation.transports.ports import LogName, Record

HEARD: tuple[LogName, ...] = ("control", "models")
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
        """To be trained; then call `report_trained` or `report_unable`."""
        self.shown: cross_site.Shown | None = None
        """Models of others to be judged on this retailer's newest examples; then call `report_judged`."""
        self.dropped: dict[str, int] = {}
        """How many messages did not count, by a code of DROP_REASONS."""
        self.last_drop = ""
        """Why the newest of them did not."""
        self.updates = LocalUpdates(identity.name, federation, settings, random)
        """What leaves of what was trained."""
        self.last_failure = ""
        self._identity = identity
        self._accepted: dict[str, str] = {}
        trust.pin_remembered(state, identity.public)
        self._federation = federation
        self._settings = settings
        self._plan: RoundPlan | None = None
        self._early: RoundPlan | None = None
        """A plan whose global model has not come: the two logs are not one order."""
        self._trained: tuple[int, int, Trained] | None = None
        """Round, base version and what training gave: another attempt of the round uses it again."""
        self._unclaimed: deque[Record] = deque(maxlen=EARLY_MAX)
        self._inboxes = {log: Inbox(federation, identity, log=log) for log in HEARD}

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
        return trust.find_membership(self.state, self._identity.public)

    def say_aside(self, word: Word) -> None:
        """Called at the start and whenever there may be news; raises ConfigurationError where the settings name another coordinator."""
        self._accepted = word.accepted
        wanted = self._settings.coordinator_fingerprint
        self.state = trust.accept_coordinator(self.state, wanted, word.accepted.get(COORDINATOR), self.name)
        trust.accept_changed_keys(self.state, word.accepted)

    def list_warnings(self, *, left: bool) -> dict[str, str]:
        """What this retailer's people should know of the roster, by name."""
        return trust.find_warnings(self.state, self._identity.public, left=left)

    def handle_record(self, record: Record) -> None:
        """One record of the control or the models log, whoever wrote it and whatever it holds.

        The two logs are not one order: a model may be read before the claim that says whose it is.
        """
        if record.log == "models" and self.state.coordinator is None:
            self._unclaimed.append(record)
            return
        try:
            with translate_foreign_errors():
                found = self._inboxes[record.log].take(record.value, roster=self._known, now_ms=record.appended_ms)
        except EnvelopeRefusedError as error:
            self._drop(error)
            return
        for opened in found:
            try:
                with translate_foreign_errors():
                    self._heed(opened, record.appended_ms)
            except FederationRefusedError as error:
                self._drop(error)
                if error.reason == "defect" and self._plan is not None:
                    # Its signature holds, so it is the coordinator's doing. Whatever was begun of the attempt is thrown away.
                    self._refuse(self._plan, "training")

    def _drop(self, error: FederationRefusedError) -> None:
        self.dropped[error.reason] = self.dropped.get(error.reason, 0) + 1
        self.last_drop = str(error)

    def to_adopt(self) -> GlobalWeights | None:
        """The newest global model, where this retailer has not decided on it yet."""
        newest = self.state.models.get(max(self.state.models, default=-1))
        if newest is None or newest.version <= self.state.adopted_version or self._foreign(newest.shapes):
            return None
        waits = newest.calibration_after >= 0 and self.state.given_up <= newest.calibration_after
        # Statistics change what weights mean that nobody has learned yet.
        return None if waits or newest.purpose == "statistics" else newest

    def report_adopted(self, version: int, result: Adopted) -> None:
        """The decision was made; the coordinator is told, with figures only where settings say so."""
        self.state.adopted_version = version
        if self.membership == "approved" and version > 0:
            metrics = result.metrics if self._settings.share_metrics else {}
            self.outbox.append(Saying(Adoption(model_version=version, decision=result.decision, metrics=metrics)))

    def report_judged(self, figures: dict[str, float]) -> None:
        """What became of `shown`: average precision by whose model; of whatever could not be measured, nothing."""
        shown, self.shown = self.shown, None
        if shown is None:
            return
        self.state.willing.pop(shown.model_version, None)
        if self.membership == "approved":
            self.outbox.append(Saying(SiteFigures(model_version=shown.model_version, figures=figures)))

    def report_trained(self, result: Trained) -> None:
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
            with translate_foreign_errors():
                self._begin(plan, result)
        except FederationRefusedError as error:
            self.last_failure = str(error)
            self._refuse(plan, "training" if error.reason == "defect" else "keys")

    @property
    def plan(self) -> RoundPlan | None:
        """Of the attempt that this participant has a part in."""
        return self._plan

    def report_trained_late(self, plan: RoundPlan, base: Arrays, result: Trained) -> None:
        """Training took longer than its round; in a buffered federation the update still counts.

        `base` is what training began from: by now the model may be too old to be kept here.

        The shapes of `base` are those of the plan, such as weights (inputs, units) for each layer.
        """
        if not plan.staleness_max:
            return
        try:
            given = contribution.build_contribution(plan, base, result)
        except ValueError:
            return
        if self.state.joined.is_before(plan):
            self.state.joined.admit(plan)
            self._give(plan, given, result)

    def report_unable(self, reason: str) -> None:
        """Training of `task` is impossible; `reason` is a code of REFUSALS."""
        self.task = None
        if self._plan is not None:
            self._refuse(self._plan, reason)

    def _known(self, name: str) -> PublicIdentity | None:
        return trust.find_identity(self.state, name)

    def _heed(self, opened: Opened, at_ms: int) -> None:
        """A message of a type that the coordinator may say on its log (federation.messages.rights)."""
        envelope, message, state = opened.envelope, opened.message, self.state
        if isinstance(message, Claim):
            trust.accept_claim(state, message, envelope.epoch, self._settings.coordinator_fingerprint)
            while self._unclaimed:
                self.handle_record(self._unclaimed.popleft())
        elif isinstance(message, GlobalModel):
            # Of whatever epoch: what a coordinator wrote before it was fenced off stands, and the newest's claim may come later.
            trust.accept_model(state, message, envelope.round)
            if self._early is not None and self._early.base_version in state.models:
                self._planned(self._early, at_ms)
        elif envelope.epoch != state.epoch:
            raise EnvelopeRefusedError("wrong_round", "of a coordinator that another has followed")
        elif isinstance(message, Roster):
            trust.accept_roster(state, message, self._identity.public, self._accepted)
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

    def _planned(self, plan: RoundPlan, at_ms: int) -> None:
        self._check_new(plan)
        self._early = None
        self._end_attempt()
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
        self._plan, base = plan, self.state.models[plan.base_version]
        self.task = build_task(plan, unflatten(base.shapes, base.payload))
        if self._trained is not None and self._trained[:2] == (plan.round, plan.base_version):
            self.report_trained(self._trained[2])

    def _check_new(self, plan: RoundPlan) -> None:
        """Raises EnvelopeRefusedError for a plan that was heard before: a copy, which anybody may have appended, ends nothing."""
        early, heard = self._early, self._plan
        older = early is not None and (plan.round, plan.attempt) < (early.round, early.attempt)
        if not older and self.state.heard.is_before(plan) and self.state.joined.is_before(plan):
            return
        if heard is not None and (heard.round, heard.attempt) == (plan.round, plan.attempt) and heard != plan:
            # No copy: the coordinator itself says two things of one attempt, and gets no further answer in it.
            self._end_attempt()
        raise EnvelopeRefusedError("wrong_round", "the attempt was announced before")

    def _objection(self, plan: RoundPlan, at_ms: int) -> str | None:
        """Why this retailer takes no part, as a code of REFUSALS."""
        found = objections.to_plan(plan, self._settings, self.state, foreign=self._foreign(plan.shapes))
        if found is None and plan.privacy.level != "none":
            spend = compute_spend(self.state.spends, plan, epsilon_max=self._settings.epsilon_max, at_ms=at_ms)
            if spend is None:
                return "budget"
            self.state.spends.append(spend)
        return found

    def _foreign(self, shapes: Shapes) -> bool:
        """Whether a model of these names and shapes is another than the one that is learned here."""
        return self._shapes is not None and shapes != self._shapes

    def _begin(self, plan: RoundPlan, result: Trained) -> None:
        base = self.state.models[plan.base_version]
        given = contribution.build_contribution(plan, unflatten(base.shapes, base.payload), result)
        self.state.joined.admit(plan)
        if plan.mode == "robust":
            self._give(plan, given, result)
        else:
            self._say(plan, self.updates.mask(plan, given, result, self._known), sealed=False)

    def _give(self, plan: RoundPlan, given: Contribution, result: Trained) -> None:
        """The update leaves as it is, in mode robust."""
        update = self.updates.quantise(plan, given, result)
        if update.cross_site:
            self.state.willing = cross_site.record_agreement(self.state.willing, plan)
        self._say(plan, update)

    def _closed(self, number: int, attempt: int, message: StageOver) -> None:
        """An update that came too late pays nothing of what is owed, unless a later round takes it in."""
        plan = self._plan
        if plan is None or (number, attempt) != (plan.round, plan.attempt) or plan.staleness_max:
            return
        if self.name not in message.members:
            self.updates.note_missed()

    def _showed(self, number: int, attempt: int, message: SiteModels) -> None:
        """Models of others, where this retailer agreed to that with its update of just this attempt, and has not judged them yet.

        So nobody can ask again and again with models made for the purpose, nor past what the settings have against a round.
        """
        if self.state.willing.get(message.model_version) != (number, attempt) or self._foreign(message.shapes):
            return
        found = cross_site.open_models(message, self._identity, self._federation, number, attempt)
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
            self.updates.settle(counted=isinstance(message, Published) and plan.purpose == "training")
            self._end_attempt()
            return
        try:
            answered = self.updates.answer(message, at_ms)
        except MaskingRefusedError as error:
            self.last_failure = str(error)
            self._refuse(plan, "keys")
            return
        if answered is not None:
            answer, sealed = answered
            self._say(plan, answer, sealed=sealed)

    def _over(self, number: int, attempt: int, message: Failure | Published) -> None:
        early = self._early
        if early is not None and (number, attempt) >= (early.round, early.attempt):
            self._early = None
        if isinstance(message, Failure) and message.final:
            self.state.given_up = max(self.state.given_up, number)

    def _refuse(self, plan: RoundPlan, reason: str) -> None:
        self._say(plan, Refusal(reason=reason))
        self._end_attempt()

    def _end_attempt(self) -> None:
        """Of the attempt under way nothing more is said."""
        self._plan = self.task = None
        self.updates.forget()

    def _say(self, plan: RoundPlan, message: ParticipantMessage, *, sealed: bool = True) -> None:
        self.outbox.append(Saying(message, plan.round, plan.attempt, sealed))
