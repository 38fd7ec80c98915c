"""What the workers' live state does not hold of what a model expects."""

from contextlib import closing
from datetime import datetime

from contract.clock import to_epoch_ms
from contract.models import Manifest
from contract.settings import Settings
from scoring.engine.coverage import Gap, describe_gaps, find_gaps, needs_risk
from scoring.ports import StoreUnavailableError
from scoring.store.client import RedisClient
from scoring.store.coverage import read_coverage
from trainer.drift.check import Checked
from trainer.registry.registry import Registry


def find_state_gaps(settings: Settings, manifest: Manifest, at_ms: int) -> list[Gap]:
    """What a transaction of `at_ms` would not find; none where the store does not answer, which has an alert of its own."""
    delay_days = settings.trainer.label_delay_days
    try:
        with closing(RedisClient(settings.redis)) as client:
            coverage = read_coverage(client, settings.retailer)
    except StoreUnavailableError:
        return []
    kinds = find_gaps(coverage, at_ms, risk=needs_risk(manifest), label_delay_days=delay_days)
    return describe_gaps(coverage, kinds, retailer=settings.retailer, label_delay_days=delay_days)


def find_serving_gaps(settings: Settings, registry: Registry, checked: Checked, now: datetime) -> list[Gap]:
    """The gaps of the serving model at the newest transaction of a look for drift; none where there was nothing to look at."""
    serving, findings = registry.find_serving(settings.retailer), checked.findings
    if serving is None or findings is None:
        return []
    return find_state_gaps(
        settings, serving.manifest, to_epoch_ms(now) if findings.last_ms is None else findings.last_ms
    )
