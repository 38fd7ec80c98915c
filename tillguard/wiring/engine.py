"""Puts the scoring engine of a retailer together, from its settings and what it stands on."""

from datetime import timedelta

from contract.clock import Clock
from contract.metrics import Metrics
from contract.settings import Settings
from scoring.decision.breaker import Limits
from scoring.engine.control import Control
from scoring.engine.engine import Engine, TimeBudget
from scoring.engine.judge import Judge
from scoring.engine.resolutions import CaseResolver
from scoring.engine.shadow import Shadow
from scoring.engine.verdict_writer import VerdictWriter
from scoring.ports import CaseStore, Models, StateCoverage, WindowStore
from scoring.rules.versions import RulesetCache


def make_engine(  # noqa: PLR0917 - every port once
    settings: Settings,
    store: WindowStore,
    cases: CaseStore,
    models: Models,
    rulesets: RulesetCache,
    clock: Clock,
    metrics: Metrics,
    *,
    shadow: Shadow | None = None,
    state: StateCoverage | None = None,
) -> Engine:
    """The engine of one scoring thread; without `state` no verdict says what its score did not know of."""
    scoring, budget_s = settings.scoring, settings.scoring.budget_ms / 1000
    return Engine(
        store,
        models,
        rulesets,
        Judge(clock, settings.base_currency, Control(scoring.control_share, scoring.control_amount_max), state),
        VerdictWriter(
            cases,
            clock,
            metrics,
            retailer=settings.retailer,
            limits=Limits.from_settings(scoring.breaker),
            hold_for=timedelta(seconds=scoring.hold.expires_after_s),
            case_kept=timedelta(days=settings.retention.case_days),
            late_after_s=scoring.late_after_s,
        ),
        clock,
        metrics,
        admission=settings.admission,
        fallback_settings=scoring.fallback,
        time_budget=TimeBudget(budget_s, max(settings.redis.timeout_s, budget_s), scoring.late_after_s),
        shadow=shadow,
    )


def make_resolver(settings: Settings, cases: CaseStore, clock: Clock, metrics: Metrics) -> CaseResolver:
    """A resolver of cases, for one thread."""
    return CaseResolver(cases, clock, metrics, admission=settings.admission, on_expiry=settings.scoring.hold.on_expiry)
