"""Puts a scoring worker together: settings → store, engine, feed, application. The only place that knows all of them."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from contract.clock import Clock, SystemClock
from contract.errors import ConfigurationError, TransientError
from contract.metrics import Metrics
from contract.settings import Settings
from contract.status.message import Condition
from contract.topics import CONTROL, MODELS, OUTCOMES, RESOLUTIONS, RULES, STATUS, TOPICS, TRANSACTIONS, Topic
from runtime import logs
from runtime.heartbeat import name_process
from runtime.kafka.producer import SharedProducer
from runtime.kafka.shared_status import SharedStatusOutlet
from runtime.kafka.topic_follower import TopicFollower
from scoring.decision.breaker import Limits
from scoring.engine.resolutions import CaseResolver
from scoring.engine.shadow import ShadowScorer
from scoring.feeds.librdkafka_feed import LibrdkafkaFeed
from scoring.feeds.pipeline import Pipeline
from scoring.feeds.ports import Scorer
from scoring.feeds.publisher import VERDICT_LINGER_MS, KafkaPublisher
from scoring.models.cache import ModelCache
from scoring.rules.published import PublishedRules
from scoring.rules.ruleset import Ruleset, load_configured_rules
from scoring.rules.versions import RulesetCache
from scoring.store.breaker import RedisBreaker
from scoring.store.client import RedisClient
from scoring.store.coverage import read_coverage
from scoring.store.keys import Keys
from scoring.worker import faust_app
from scoring.worker.agent_feed import AgentFeed
from scoring.worker.breaker_alarms import BreakerWatch
from scoring.worker.hold_expiry import HoldSweeper
from scoring.worker.resolution_feed import ResolutionScorer
from scoring.worker.risk_feed import OutcomeScorer
from scoring.worker.state_watch import StateWatch
from scoring.worker.status import describe_worker
from scoring.worker.supervision import Supervision
from tillguard import __version__
from tillguard.wiring.address_file import write_address
from tillguard.wiring.engine import make_engine, make_resolver
from tillguard.wiring.heartbeats import build_heartbeat
from tillguard.wiring.stores import make_case_store, make_rules_archive, make_window_store

CATCH_UP_S = 30.0
"""How long a starting worker reads the models topic before it begins without a model, answering degraded; and the rules topic,
without which it does not begin."""
BESIDE_BATCH_MAX = 100
BESIDE_PENDING_MAX = 10_000
SHADOW_FULL_FROM = 10_000
"""Messages under way from which a challenger's scores are dropped: well before the transactions would have to wait."""
PROBE_S = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Parts:
    settings: Settings
    clock: Clock
    metrics: Metrics
    cache: ModelCache
    rules: PublishedRules
    client_id: str
    redis: RedisClient
    """For all threads but the one that answers transactions, which has its own connections with shorter time limits."""
    verdicts: SharedProducer
    """For the thread that answers transactions; nothing else leaves through it."""
    unhurried: SharedProducer
    """For everything else, of all threads."""

    def publisher(self) -> KafkaPublisher:
        """Each thread has one of its own."""
        return KafkaPublisher(self.settings.retailer, self.unhurried)

    def resolver(self) -> CaseResolver:
        """Each thread has one of its own."""
        return make_resolver(self.settings, make_case_store(self.settings, self.redis), self.clock, self.metrics)


def run(settings: Settings, *, address_file: Path | None = None) -> int:
    """Runs a worker until it is told to stop (returns 0) or fails (returns 1). Takes over the process.

    `address_file` receives the URL of the web server once it listens. Raises ConfigurationError, and TransientError when
    Kafka does not answer at the start; Redis may come later.
    """
    logs.configure(settings.log)
    parts = _parts(settings, load_configured_rules(settings.scoring.rules_file))
    models, rules = _follower(parts, MODELS, parts.cache.offer), _follower(parts, RULES, parts.rules.offer)
    _need_topics(settings, models.list_topics())
    if not rules.catch_up(CATCH_UP_S):
        raise TransientError(
            f"{RULES.name(settings.retailer)} could not be read to its end in {CATCH_UP_S:.0f} s, so which rules serve is not known"
        )
    if not models.catch_up(CATCH_UP_S):
        log.warning("models_not_caught_up", after_s=CATCH_UP_S)
    application, look = _application(parts, {"models": models, "rules": rules}, address_file)
    log.info(
        "worker_starts",
        version=__version__,
        retailer=settings.retailer,
        feed=settings.scoring.feed,
        rules=parts.rules.serving.version,
        model=parts.cache.serving.version if parts.cache.serving else None,
    )
    # What is loaded now stays for good: looking through it again and again cost pauses of 30 ms.
    gc.collect()
    gc.freeze()
    outlet = SharedStatusOutlet(parts.unhurried, STATUS.name(settings.retailer))
    with build_heartbeat(settings, "scoring", look, parts.clock, outlet=outlet) as heartbeat:
        code = faust_app.run(application, level=settings.log.level)
        if code:
            heartbeat.note_failure("it failed; its log says why")
    log.info("worker_ended", code=code)
    return code


def _parts(settings: Settings, configured: Ruleset) -> _Parts:
    metrics, client_id = Metrics(), f"{settings.retailer}-scoring-{name_process()}"
    redis = RedisClient(settings.redis)
    return _Parts(
        settings,
        SystemClock(),
        metrics,
        ModelCache(settings.scoring.model_directory, settings.retailer, metrics),
        PublishedRules(configured, make_rules_archive(settings, redis), metrics, retailer=settings.retailer),
        client_id,
        redis,
        SharedProducer(settings.kafka, f"{client_id}-verdicts", endless=True, linger_ms=VERDICT_LINGER_MS),
        SharedProducer(settings.kafka, f"{client_id}-unhurried", endless=True),
    )


def _follower(parts: _Parts, topic: Topic, offer: Callable[[bytes | None], None]) -> TopicFollower:
    settings = parts.settings
    return TopicFollower(
        settings.kafka,
        offer,
        parts.clock,
        topic=topic.name(settings.retailer),
        client_id=f"{parts.client_id}-{topic.kind}",
    )


def _need_topics(settings: Settings, present: set[str]) -> None:
    missing = sorted({topic.name(settings.retailer) for topic in TOPICS} - present)
    if missing:
        raise ConfigurationError(
            [f"topic {name} does not exist: `tillguard topics --retailer {settings.retailer}`" for name in missing]
        )


def _application(
    parts: _Parts, followers: dict[str, faust_app.Loop], address_file: Path | None
) -> tuple[faust_app.WorkerApp, Callable[[], Condition]]:
    """The application, and how it is at any moment."""
    settings, scoring = parts.settings, parts.settings.scoring
    topic, group = TRANSACTIONS.name(settings.retailer), f"{settings.retailer}.scoring"
    publisher = KafkaPublisher(settings.retailer, parts.unhurried, parts.verdicts)
    budget_s = scoring.budget_ms / 1000
    hurried = RedisClient(settings.redis, budget_s)
    shadow, state = _shadow_scorer(parts), _state_watch(parts)
    rulesets = RulesetCache(parts.rules.serving, make_rules_archive(settings, hurried), parts.clock)
    parts.rules.begin(rulesets.hand_over)
    engine = make_engine(
        settings,
        make_window_store(settings, connect_wait_s=budget_s),
        make_case_store(settings, hurried),
        parts.cache,
        rulesets,
        parts.clock,
        parts.metrics,
        shadow=shadow,
        state=state,
    )
    pipeline = Pipeline(
        engine,
        publisher,
        parts.clock,
        batch_max=scoring.batch_max,
        pending_max=scoring.pending_max,
        budget_s=budget_s,
    )
    feed = _feed(parts, pipeline, publisher, topic=topic, group=group)
    supervision = Supervision(
        lambda: feed.state,
        parts.cache,
        parts.redis.is_answered,
        lambda: parts.verdicts.is_answered(topic, PROBE_S),
        clock=parts.clock,
        metrics=parts.metrics,
        retailer=settings.retailer,
        stall_after_s=scoring.stall_after_s,
        unserved=lambda: parts.rules.unserved,
        gaps=lambda: state.warnings,
    )
    loops = followers | {"supervision": supervision, "shadow": shadow, "state": state} | _afterwards(parts)
    if isinstance(feed, LibrdkafkaFeed):
        loops["transactions"] = feed
    breaker = loops.get("breaker")
    hosted = faust_app.build(
        faust_app.Hosted(
            name=group if scoring.feed == "agent" else f"{group}-control",
            kafka=settings.kafka,
            control_topic=CONTROL.name(settings.retailer),
            web_host=scoring.web_host,
            web_port=scoring.web_port,
            ready=supervision.check_readiness,
            registry=parts.metrics.registry,
            loops=loops,
            agent=feed if isinstance(feed, AgentFeed) else None,
            on_address=partial(write_address, address_file),
        )
    )

    return hosted, partial(_look, parts, supervision, feed, breaker)


def _look(
    parts: _Parts,
    supervision: Supervision,
    feed: LibrdkafkaFeed | AgentFeed,
    breaker: faust_app.Loop | None,
) -> Condition:
    serving = parts.cache.serving
    return describe_worker(
        supervision.check_readiness(),
        feed.state,
        model_version=serving.version if serving else None,
        rules_version=parts.rules.serving.version,
        breaker_open=breaker.is_open if isinstance(breaker, BreakerWatch) else None,
    )


def _shadow_scorer(parts: _Parts) -> ShadowScorer:
    return ShadowScorer(
        lambda: KafkaPublisher(parts.settings.retailer, parts.unhurried, full_from=SHADOW_FULL_FROM),
        parts.clock,
        parts.metrics,
        retailer=parts.settings.retailer,
        time_share=parts.settings.scoring.shadow_time_share,
    )


def _state_watch(parts: _Parts) -> StateWatch:
    settings = parts.settings
    return StateWatch(
        lambda: read_coverage(parts.redis, settings.retailer),
        parts.cache,
        parts.publisher,
        clock=parts.clock,
        metrics=parts.metrics,
        retailer=settings.retailer,
        label_delay_days=settings.trainer.label_delay_days,
    )


def _beside(parts: _Parts, topic: Topic, scorer: Scorer) -> LibrdkafkaFeed:
    """A feed of its own for a topic next to the transactions, which nobody waits for at a till."""
    publisher = parts.publisher()
    pipeline = Pipeline(scorer, publisher, parts.clock, batch_max=BESIDE_BATCH_MAX, pending_max=BESIDE_PENDING_MAX)
    retailer = parts.settings.retailer
    return _librdkafka(parts, pipeline, publisher, topic=topic.name(retailer), group=f"{retailer}.{topic.kind}")


def _afterwards(parts: _Parts) -> dict[str, faust_app.Loop]:
    settings = parts.settings
    loops: dict[str, faust_app.Loop] = {
        "resolutions": _beside(parts, RESOLUTIONS, ResolutionScorer(parts.resolver())),
        "outcomes": _beside(parts, OUTCOMES, _outcome_scorer(parts)),
        "holds": HoldSweeper(parts.resolver(), parts.publisher()),
    }
    limits = Limits.from_settings(settings.scoring.breaker)
    if limits.on:
        loops["breaker"] = BreakerWatch(
            RedisBreaker(parts.redis, Keys(settings.retailer)),
            parts.publisher,
            limits,
            parts.metrics,
            retailer=settings.retailer,
        )
    return loops


def _outcome_scorer(parts: _Parts) -> OutcomeScorer:
    settings = parts.settings
    return OutcomeScorer(
        make_window_store(settings),
        parts.clock,
        parts.metrics,
        admission=settings.admission,
        timeout_s=settings.redis.timeout_s,
    )


def _feed(
    parts: _Parts, pipeline: Pipeline, publisher: KafkaPublisher, *, topic: str, group: str
) -> LibrdkafkaFeed | AgentFeed:
    scoring = parts.settings.scoring
    if scoring.feed == "agent":
        return AgentFeed(pipeline, publisher, parts.clock, topic=topic, batch_max=scoring.batch_max)
    return _librdkafka(parts, pipeline, publisher, topic=topic, group=group)


def _librdkafka(
    parts: _Parts, pipeline: Pipeline, publisher: KafkaPublisher, *, topic: str, group: str
) -> LibrdkafkaFeed:
    return LibrdkafkaFeed(
        parts.settings.kafka,
        pipeline,
        publisher,
        parts.clock,
        topic=topic,
        group=group,
        client_id=parts.client_id,
    )
