"""Alarms of the trainer, sent to the retailer's alarms topic."""

from datetime import datetime

import msgspec
import structlog

from contract.alarms import Alarm, AlarmSeverity
from contract.errors import TransientError
from contract.settings import Settings
from contract.topics import ALARMS
from runtime.kafka.producer import Outlet

log = structlog.get_logger()
TEXT_MAX = 1_024


def raise_alarm(
    settings: Settings,
    outlet: Outlet,
    *,
    kind: str,
    severity: AlarmSeverity,
    subject: str,
    text: str,
    remedy: str,
    values: dict[str, float],
    now: datetime,
) -> None:
    """Sends it and logs it; where Kafka does not answer it is in the log alone."""
    alarm = Alarm(
        alarm_id=f"{kind}-{subject}-{now:%Y%m%d%H%M%S}"[:128],
        retailer=settings.retailer,
        kind=kind,
        severity=severity,
        raised_at=now,
        part="trainer",
        subject=subject[:128],
        text=text[:TEXT_MAX],
        remedy=remedy[:TEXT_MAX],
        values=values,
    )
    log.warning("alarm", kind=kind, subject=alarm.subject, text=alarm.text, remedy=alarm.remedy)
    try:
        outlet.deliver(ALARMS.name(settings.retailer), [(alarm.alarm_id.encode(), msgspec.json.encode(alarm))])
    except TransientError as error:
        log.warning("alarm_not_sent", kind=kind, reason=str(error))
