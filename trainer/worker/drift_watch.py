"""Looks for drift next to a running trainer, in a thread of its own: a look reads the feature log and may take half a minute."""

import threading

import structlog

from contract.clock import Clock
from contract.errors import TillguardError
from contract.metrics import Metrics
from contract.settings import Settings
from runtime.kafka.producer import Outlet
from trainer.drift import check
from trainer.registry.registry import Registry

log = structlog.get_logger()


class DriftWatch:
    """One look every `trainer.drift.every_s` until it is stopped. What fails is logged and tried again at the next look."""

    def __init__(self, settings: Settings, outlet: Outlet, metrics: Metrics, clock: Clock) -> None:
        self._settings = settings
        self._outlet = outlet
        self._metrics = metrics
        self._clock = clock
        self._raised = check.Raised()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drift", daemon=True)

    def start(self) -> None:
        """The first look comes after the first pause: a trainer that was just started has other things to do."""
        self._thread.start()

    def close(self) -> None:
        """Asks for the end; a look under way does not keep the process."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self._settings.trainer.drift.every_s):
            self.look()

    def look(self) -> check.Checked | None:
        """One look; None where it failed."""
        trainer = self._settings.trainer
        try:
            registry = Registry(trainer.registry_url.get_secret_value(), trainer.registry_directory)
            try:
                checked = check.check(
                    self._settings,
                    registry,
                    now=self._clock.now(),
                    metrics=self._metrics,
                    raised=self._raised,
                    outlet=self._outlet,
                )
            finally:
                registry.close()
        except TillguardError as error:
            log.warning("drift_not_checked", reason=str(error))
            return None
        log.info("drift_checked", alarms=len(checked.alarms), unknown=checked.unknown)
        return checked
