"""The coordinator as pure handlers: `handle_record` what participants say, `decide` what is due, `apply` what was decided.

Invariant: the state is a function of the logs. `handle_record` is called for every record of the updates log in its order, `apply`
for every message of the coordinator once it stands on its log; a restarted coordinator is fed the same again and is then the
same. `decide` changes nothing, so what a killed coordinator was about to say is decided again. Knows no clock and no transport.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec

from contract.errors import InvariantError
from contract.federation.fields import CLOCK_TOLERANCE_MS, COORDINATOR, OPERATOR
from contract.federation.frames import Envelope
from contract.federation.messages import (
    Adoption,
    Claim,
    CoordinatorMessage,
    EnrolmentRequest,
    Evaluated,
    Failure,
    GlobalModel,
    Halted,
    KeyList,
    LedgerEntry,
    Order,
    Published,
    Roster,
    RoundPlan,
    ShareList,
    SiteFigures,
    SiteModels,
    StageOver,
    SurvivorList,
    Withdrawal,
)
from contract.federation.reasons import DROP_REASONS
from contract.federation.settings import FederationSettings
from federation.coordinator import admission, cross_site, intake, reconciliation, rounds
from federation.coordinator.attempt import Attempt, Candidate, CollectionMaker, build_publication, read_closing
from federation.coordinator.collection import Collection
from federation.coordinator.journal import Followed
from federation.coordinator.recording import Say, build_entries, mark_recorded
from federation.coordinator.round_schedule import choose_purpose, end_round, needs_calibration
from federation.coordinator.state import Change, CoordinatorState, FailedAttempt
from federation.messages.cross_site import Sites
from federation.messages.envelope import Opened
from federation.messages.foreign import translate_foreign_errors
from federation.messages.global_weights import build_message, read_weights
from federation.messages.identity import Identity, PublicIdentity, get_identity
from federation.messages.inbox import Inbox
from federation.refusals import EnvelopeRefusedError, FederationRefusedError
from federation.transports.ports import Record

DAY_MS = 86_400_000
BEGUN_AHEAD = "it began in the future: the clock of its coordinator was ahead"
TELL_AGAIN_AFTER = 0.25
"""Of the logs' retention."""
MESSAGE_BYTES_SPARE = 64 * 1024
"""Beyond the model's own size, for whatever else a message of a participant carries."""


Dropped = Callable[[str, str, str], None]
"""Called with the sender, where it is known, a code of DROP_REASONS, and which part does not fit, without what it holds."""


class Planning(Protocol):
    """Makes plans; the privacy budget is checked here, before anyone trains."""

    def plan(self, state: CoordinatorState, now_ms: int) -> RoundPlan | Halted | None:
        """The next attempt, or why there must be none, or None while too few are approved. Pure."""
        ...

    def derive_rules(self, plan: RoundPlan) -> rounds.RoundRules:
        """When the plan's stages are over. Pure."""
        ...

    def add_spend(self, state: CoordinatorState, plan: RoundPlan, at_ms: int) -> None:
        """Adds the plan's privacy spend to the state. Called when the plan stands on the log."""
        ...


class ServerUpdate(Protocol):
    """Makes a candidate of what was combined. Deterministic, so that a restarted coordinator makes the same."""

    def make_candidate(self, state: CoordinatorState, plan: RoundPlan, collection: Collection) -> Candidate:
        """The next global model and how it does on the coordinator's own data; raises FederationRefusedError."""
        ...


class Coordinator:
    """One federation's coordinator. Used by one thread."""

    def __init__(
        self,
        identity: Identity,
        settings: FederationSettings,
        state: CoordinatorState,
        *,
        planning: Planning,
        collecting: CollectionMaker,
        server_update: ServerUpdate,
        dropped: Dropped = lambda _sender, _reason, _detail: None,
    ) -> None:
        """`dropped` is told of every message that does not count: see `Dropped`."""
        self.state = state
        self.attempt: Attempt | None = None
        self._identity = identity
        self._settings = settings
        self._planning = planning
        self._collecting = collecting
        self._server_update = server_update
        self._dropped = dropped
        self._operator = msgspec.structs.replace(identity.public, name=OPERATOR)
        self._inbox = self._new_inbox()
        self._retell_ms = round(settings.retention_days * DAY_MS * TELL_AGAIN_AFTER)

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way, so that the state alone says everything."""
        return self.attempt is None and self._inbox.pending == 0

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, and nothing more is to be done until somebody orders it."""
        return self.attempt is None and choose_purpose(self.state, self._settings.rounds) is None

    def handle_record(self, record: Record) -> None:
        """One record of the updates log, whoever wrote it and whatever it holds."""
        for opened in self._opened(record):
            try:
                with translate_foreign_errors():
                    change = self._checked(opened, record.appended_ms)
                change()
                intake.count_bytes(self.state, self.attempt, opened)
            except FederationRefusedError as error:
                self._drop(opened.envelope.sender, error)

    def _opened(self, record: Record) -> tuple[Opened, ...]:
        try:
            with translate_foreign_errors():
                return self._inbox.take(record.value, roster=self._known, now_ms=record.appended_ms)
        except EnvelopeRefusedError as error:
            self._drop(error.sender, error)
            return ()

    def note_unfinished(self, messages: int) -> None:
        """Called before `start`: this many of its own logs' messages do not count."""
        for _ in range(messages):
            self._drop(COORDINATOR, EnvelopeRefusedError("unfinished", "its transaction failed"))

    def _drop(self, sender: str, error: FederationRefusedError) -> None:
        reason = error.reason if error.reason in DROP_REASONS else "refused"
        self.state.drops[reason] = self.state.drops.get(reason, 0) + 1
        self._dropped(sender, reason, error.detail)

    def decide(self, now_ms: int) -> list[Say]:
        """What is due, to be written all at once; empty when nothing is. Call again after applying it."""
        if self.state.roster_changed:
            members = tuple(member for _, member in sorted(self.state.members.items()))
            said: list[Say] = [Say("control", Roster(version=self.state.roster_version + 1, members=members))]
        elif self.attempt is None and not 0 <= now_ms - self.state.told_ms < self._retell_ms:
            said = self._tell_again()
        elif self.attempt is None:
            said = self._next_attempt(now_ms)
        else:
            said = self._next_step(self.attempt, now_ms)
        return [*said, *build_entries(self.state, said, self.attempt, now_ms)] if said or self.state.notes else []

    def start(self, instance: str, now_ms: int) -> list[Say]:
        """The first thing a coordinator says: that it is the one from here on, and its model where nobody has it yet."""
        said = [Say("control", self._claim(instance))]
        if self.state.epoch == 0:
            said.append(Say("models", build_message(self.state.model)))
        return [*said, *build_entries(self.state, said, self.attempt, now_ms)]

    def reconcile(self, followed: Followed, now_ms: int) -> list[Say]:
        """The second thing, where participants followed what does not count; else empty."""
        said = reconciliation.list_messages(followed, self.state, attempts_max=self._settings.rounds.attempts_max)
        return [*said, *build_entries(self.state, said, self.attempt, now_ms)] if said else []

    def apply(self, say: Say, epoch: int, at_ms: int) -> None:
        """What was decided stands on its log; `epoch` and `at_ms` are its envelope's."""
        message, state = say.message, self.state
        if isinstance(message, LedgerEntry):
            mark_recorded(state, message)
        elif isinstance(message, Claim):
            state.epoch, state.instance, state.told_ms = epoch, message.instance, at_ms
        elif isinstance(message, Roster):
            state.roster_version, state.roster_changed = message.version, False
            self._drop_revoked()
        elif isinstance(message, RoundPlan):
            self._begin(message, at_ms)
        elif isinstance(message, Halted):
            state.rounds_wanted, state.uncalibrated, state.halted = 0, 0, message.reason
        elif isinstance(message, GlobalModel):
            state.model = read_weights(message, say.round)
        elif isinstance(message, SiteModels):
            begun = Sites(model_version=message.model_version, shown=message.shown)
            state.evaluations = [*state.evaluations[-1:], begun]
            state.unshown = 0
        elif self.attempt is not None:
            self._advance(self.attempt, message, at_ms)

    def _claim(self, instance: str) -> Claim:
        keys = self._identity.public
        return Claim(instance=instance, signing_key=keys.signing_key, sealing_key=keys.sealing_key)

    def _tell_again(self) -> list[Say]:
        """Who speaks, who takes part, and the newest model: before the logs forget them, since a newcomer reads no further back."""
        members = tuple(member for _, member in sorted(self.state.members.items()))
        return [
            Say("control", self._claim(self.state.instance)),
            Say("control", Roster(version=self.state.roster_version, members=members)),
            Say("models", build_message(self.state.model)),
        ]

    def _known(self, name: str) -> PublicIdentity | None:
        if name == OPERATOR:
            return self._operator
        member = self.state.members.get(name)
        return None if member is None else get_identity(member)

    def _checked(self, opened: Opened, at_ms: int) -> Change:
        """What a message of a type and sender that federation.messages.rights lets through does to the state; raises where it does not count."""
        message, envelope, state = opened.message, opened.envelope, self.state
        if isinstance(message, Order):
            return partial(self._obey, message, envelope, at_ms)
        if isinstance(message, EnrolmentRequest):
            return admission.enrol(
                state, envelope.sender, message, at_ms, waiting_max=self._settings.coordinator.enrolments_max
            )
        member = state.members.get(envelope.sender)
        if member is None or member.status != "approved":
            raise EnvelopeRefusedError("revoked", "field sender")
        if isinstance(message, Withdrawal):
            return partial(self._withdraw, admission.withdraw(state, envelope, message, at_ms), member.name)
        if isinstance(message, Adoption):
            return admission.record_adoption(state, envelope, message)
        if isinstance(message, SiteFigures):
            return admission.record_judgement(state, envelope.sender, message)
        return intake.take(state, self.attempt, opened)

    def _withdraw(self, change: Change, name: str) -> None:
        change()
        self._leaves(name)

    def _obey(self, message: Order, envelope: Envelope, at_ms: int) -> None:
        admission.admit_order(self.state, envelope, message)
        admission.apply_order(self.state, message, at_ms, members_max=self._settings.coordinator.enrolments_max)
        if message.action == "revoke" and message.participant:
            self._leaves(message.participant)

    def _next_attempt(self, now_ms: int) -> list[Say]:
        state = self.state
        if choose_purpose(state, self._settings.rounds) is None:
            return []
        pause_ms = round(self._settings.rounds.pause_s * 1000)
        if not state.begun and state.ended_ms <= now_ms < state.ended_ms + pause_ms:
            return []
        plan = self._planning.plan(state, now_ms)
        if plan is None:
            return []
        if isinstance(plan, Halted):
            return [Say("control", plan, state.round_number)]
        return [Say("control", plan, plan.round, plan.attempt)]

    def _next_step(self, attempt: Attempt, now_ms: int) -> list[Say]:
        plan = attempt.plan
        if attempt.state.status == "evaluated":
            return self._publish(attempt)
        message: CoordinatorMessage | None = None
        try:
            if attempt.state.status == "aggregating":
                message = self._candidate(attempt).evaluated
            else:
                decision = rounds.decide_stage(attempt.state, attempt.rules, now_ms)
                if attempt.state.opened_ms > now_ms + CLOCK_TOLERANCE_MS:
                    # Its participants dropped what it said, and its time would not be over for as long.
                    decision = rounds.AttemptFailed(BEGUN_AHEAD)
                if isinstance(decision, rounds.AttemptFailed):
                    message = self._failure(attempt, decision.reason)
                elif decision is not None:
                    message = attempt.collection.make_closing(decision.stage, decision.members)
        except FederationRefusedError as error:
            message = self._failure(attempt, str(error))
        return [] if message is None else [Say("control", message, plan.round, plan.attempt)]

    def _publish(self, attempt: Attempt) -> list[Say]:
        plan = attempt.plan
        follows = plan.purpose == "training" and needs_calibration(self.state, self._settings.rounds)
        published, model = build_publication(
            plan, self._candidate(attempt), trainings=self.state.model.trainings, calibration=follows
        )
        shown = self._shown(attempt, model)
        # In this order: what the strategy keeps is made from the model before.
        return [
            Say("control", published, plan.round, plan.attempt),
            Say("models", model, plan.round, plan.attempt),
            *([] if shown is None else [Say("control", shown, plan.round, plan.attempt)]),
        ]

    def _shown(self, attempt: Attempt, made: GlobalModel) -> SiteModels | None:
        """Models for participants to judge, where it is time for that."""
        plan, every, state = attempt.plan, self._settings.rounds.cross_site_every, self.state
        if not every or plan.purpose != "training" or state.unshown + 1 < every:
            return None
        return cross_site.prepare_site_models(
            self._settings.name,
            plan,
            made.model_version,
            state.model.payload,
            collection=attempt.collection,
            members=state.members,
        )

    def _candidate(self, attempt: Attempt) -> Candidate:
        """Made once; a restarted coordinator makes the same again."""
        if attempt.candidate is None:
            attempt.candidate = self._server_update.make_candidate(self.state, attempt.plan, attempt.collection)
        return attempt.candidate

    def _failure(self, attempt: Attempt, reason: str) -> Failure:
        final = attempt.plan.attempt + 1 >= self._settings.rounds.attempts_max
        return Failure(reason=reason[:500], final=final)

    def _begin(self, plan: RoundPlan, at_ms: int) -> None:
        state = self.state
        if self.attempt is not None:
            raise InvariantError("an attempt begins while another is under way")
        self._planning.add_spend(state, plan, at_ms)
        state.halted, state.purpose = "", plan.purpose
        state.round_number, state.attempt, state.begun = plan.round, plan.attempt + 1, True
        intake.keep_late_rounds(state, plan)
        self.attempt = Attempt(plan, self._planning.derive_rules(plan), self._collecting(plan), at_ms)

    def _advance(self, attempt: Attempt, message: CoordinatorMessage, at_ms: int) -> None:
        if isinstance(message, KeyList | ShareList | SurvivorList | StageOver):
            attempt.collection.apply_closing(message)
            attempt.state = rounds.advance(attempt.state, read_closing(message), at_ms)
        elif isinstance(message, Evaluated):
            attempt.state = rounds.advance(attempt.state, rounds.Moved("evaluated"), at_ms)
        elif isinstance(message, Published):
            candidate = self._candidate(attempt)
            self.state.optimiser, self.state.reputations = candidate.optimiser, candidate.reputations
            attempt.state = rounds.advance(attempt.state, rounds.Moved("published"), at_ms)
            end_round(self.state, attempt.plan.purpose, at_ms, published=True)
            self._end_attempt()
        elif isinstance(message, Failure):
            attempt.state = rounds.advance(attempt.state, rounds.AttemptFailed(message.reason), at_ms)
            self.state.failed = FailedAttempt(
                round=attempt.plan.round, attempt=attempt.plan.attempt, reason=message.reason
            )
            if message.final:
                end_round(self.state, attempt.plan.purpose, at_ms, published=False)
            self._end_attempt()

    def _end_attempt(self) -> None:
        """Whatever is unfinished belongs to what is over; a new inbox keeps nothing of it."""
        self.attempt = None
        self._inbox = self._new_inbox()

    def _new_inbox(self) -> Inbox:
        largest = 2 * len(self.state.model.payload) + MESSAGE_BYTES_SPARE * 16
        return Inbox(self._settings.name, self._identity, message_bytes_max=largest)

    def _leaves(self, name: str) -> None:
        if self.attempt is not None:
            self.attempt.state = rounds.leave(self.attempt.state, name)

    def _drop_revoked(self) -> None:
        for member in self.state.members.values():
            if member.status != "approved":
                self._inbox.forget(member.name)
