"""What a running coordinator tells its people: changes as lines of its log, and as metrics."""

import time

import structlog

from contract.federation.settings import FederationSettings
from contract.metrics import Metrics
from federation.coordinator.planning import describe_shortage
from federation.coordinator.process import CoordinatorProcess
from federation.privacy.budget import build_privacy_ledger

_LOG = structlog.get_logger()


class Watch:
    """Logs and counts what changed since it looked last."""

    def __init__(self, settings: FederationSettings, process: CoordinatorProcess, metrics: Metrics | None) -> None:
        self._settings, self._process, self._metrics = settings, process, metrics
        state = process.coordinator.state
        self._version, self._round, self._began_s = state.model.version, state.round_number, time.monotonic()
        self._attempt = (state.round_number, state.attempt)
        self._begun, self._halted, self._failed = state.begun, state.halted, state.failed
        self._short = ""
        self._received, self._told = dict(state.received), 0

    def look(self) -> None:
        """Called after every step of the process."""
        state, name = self._process.coordinator.state, self._settings.name
        if state.failed is not None and state.failed != self._failed:
            self._failed = failed = state.failed
            _LOG.warning(
                "attempt_failed", federation=name, round=failed.round, attempt=failed.attempt, reason=failed.reason
            )
        # The next round may have begun in the very step that ended this one.
        if self._begun and (not state.begun or state.round_number != self._round):
            outcome = "published" if state.model.version > self._version else "failed"
            seconds = time.monotonic() - self._began_s
            _LOG.info("round_ended", federation=name, round=self._round, outcome=outcome, seconds=round(seconds, 3))
            self._add("tillguard_federation_rounds_total", outcome=outcome)
            self._set("tillguard_federation_round_seconds", seconds)
            self._begun = False
        if (state.round_number, state.attempt) != self._attempt and state.begun:
            self._attempt = (state.round_number, state.attempt)
            self._began_s = self._began_s if self._begun else time.monotonic()
            _LOG.info("attempt_begins", federation=name, round=state.round_number, attempt=state.attempt - 1)
            self._add("tillguard_federation_attempts_total")
        if state.halted != self._halted:
            self._halted = state.halted
            _LOG.warning("no_further_round", federation=name, reason=state.halted)
        self._look_for_participants()
        self._count_bytes()
        for participant, figures in state.shared.items():
            for figure, value in figures.items():
                self._set("tillguard_federation_shared_ratio", value, participant=participant, figure=figure)
        self._begun, self._version, self._round = state.begun, state.model.version, state.round_number
        self._set("tillguard_federation_model_version", state.model.version)
        for status in ("approved", "revoked", "left"):
            count = sum(member.status == status for member in state.members.values())
            self._set("tillguard_federation_participants", count, status=status)
        self._set("tillguard_federation_participants", len(state.waiting), status="waiting")
        privacy = self._settings.rounds.privacy
        if privacy.level != "none":
            ledger = build_privacy_ledger(
                state.spends, privacy.level, delta=privacy.delta, epsilon_max=privacy.epsilon_max
            )
            self._set("tillguard_federation_epsilon", ledger.compute_epsilon(), level=privacy.level)

    def _look_for_participants(self) -> None:
        coordinator = self._process.coordinator
        waits = coordinator.attempt is None and not coordinator.idle
        short = describe_shortage(coordinator.state.members.values(), self._settings.rounds) if waits else ""
        if short and short != self._short:
            _LOG.warning("waits_for_participants", federation=self._settings.name, approved=short)
        self._short = short

    def _count_bytes(self) -> None:
        received, told = self._process.coordinator.state.received, self._process.bytes_told
        for name, total in received.items():
            more = total - self._received.get(name, 0)
            self._add("tillguard_federation_received_bytes_total", more, participant=name)
        self._add("tillguard_federation_told_bytes_total", told - self._told)
        self._received, self._told = dict(received), told

    def _add(self, metric: str, amount: float = 1.0, **labels: str) -> None:
        if self._metrics is not None:
            self._metrics.add(metric, amount, federation=self._settings.name, **labels)

    def _set(self, metric: str, value: float, **labels: str) -> None:
        if self._metrics is not None:
            self._metrics.set(metric, value, federation=self._settings.name, **labels)
