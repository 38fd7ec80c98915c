"""An engine over in-memory ports, and transactions to feed it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from contract.clock import Clock, ManualClock, to_epoch_ms
from contract.dead_letters import DeadLetter
from contract.events import Origin, Resolution, Transaction
from contract.features import FeatureRecord
from contract.metrics import Metrics
from contract.package import to_messages
from contract.settings import Settings
from contract.verdicts import Verdict
from scoring.decision.breaker import Limits
from scoring.engine.engine import Engine
from scoring.engine.resolutions import CaseResolver
from scoring.engine.shadow import Shadow
from scoring.models.cache import ModelCache
from scoring.ports import EventResult, RawEvent, StateCoverage
from scoring.rules.ruleset import Ruleset, load_rules
from scoring.rules.versions import RulesetCache
from support.breaker import Breaker
from support.memory_store import MemoryCases, MemoryRules, MemoryStore
from support.tiny_model import tiny_challenge, tiny_messages, tiny_package
from tillguard.wiring.engine import make_engine, make_resolver

RETAILER = "shop"
START = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
ORIGIN = Origin(connector="orders", phase="stream", source="shop.orders", position="binlog.1:4")
RULES = """
rules:
  - {id: giftcards, text: "a gift card for {amount}", when: "category == 'giftcard' and amount >= 100", decision: hold, kind: payment_anomaly}
  - {id: trusted-till, text: "the staff till", when: "terminal == 'staff'", decision: allow}
"""


def transaction(number: int = 1, **changes: Any) -> Transaction:
    """A payment of 50.00 EUR that nobody minds, `number` seconds after START."""
    fields: dict[str, Any] = {
        "transaction_id": f"t-{number}",
        "retailer": RETAILER,
        "event_time": START + timedelta(seconds=number),
        "ingest_time": START + timedelta(seconds=number),
        "amount_minor": 5_000,
        "currency": "EUR",
        "origin": ORIGIN,
        "customer": f"c-{number}",
        "card": f"k1:card-{number}",
        "device": f"d-{number}",
        "category": "toys",
    }
    return Transaction(**(fields | changes))


def record(value: Transaction | bytes | None, offset: int = 0, key: bytes | None = b"key") -> RawEvent:
    """As it stands on the topic."""
    data = msgspec.json.encode(value) if isinstance(value, Transaction) else value
    return RawEvent(data, f"{RETAILER}.transactions.v1", 0, offset, to_epoch_ms(START), key)


def records(transactions: Sequence[Transaction]) -> list[RawEvent]:
    return [record(one, offset) for offset, one in enumerate(transactions)]


def resolution(transaction_id: str, outcome: str = "approved", resolution_id: str = "r-1", **changes: Any) -> RawEvent:
    fields: dict[str, Any] = {
        "resolution_id": resolution_id,
        "transaction_id": transaction_id,
        "retailer": RETAILER,
        "outcome": outcome,
        "actor": "ann",
        "resolved_at": START + timedelta(minutes=5),
    }
    return record(msgspec.json.encode(Resolution(**(fields | changes))))


def score(engine: Engine, events: Sequence[RawEvent]) -> list[EventResult]:
    """What an engine gives back for a batch."""
    return engine.collect(engine.submit(events))


def verdict_of(outcome: EventResult) -> Verdict:
    assert outcome.verdict is not None
    return msgspec.json.decode(outcome.verdict, type=Verdict)


def features_of(outcome: EventResult) -> FeatureRecord:
    assert outcome.features is not None
    return msgspec.json.decode(outcome.features, type=FeatureRecord)


def dead_letter_of(outcome: EventResult) -> DeadLetter:
    assert outcome.dead_letter is not None
    return msgspec.json.decode(outcome.dead_letter, type=DeadLetter)


@cache
def plain_rules() -> Ruleset:
    """RULES, read once: a ruleset does not change."""
    return load_rules(RULES, where="test")


@dataclass
class Workbench:
    """Everything an engine stands on; `restart` makes a new engine over the same store, as after a crash."""

    folder: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(START + timedelta(seconds=60)))
    store: MemoryStore = field(default_factory=MemoryStore)
    cases: MemoryCases = field(default_factory=MemoryCases)
    archive: MemoryRules = field(default_factory=MemoryRules)
    rules: Ruleset = field(default_factory=plain_rules)
    document: dict[str, Any] = field(default_factory=dict)
    model: bytes | None = field(default_factory=tiny_package)
    version: str = "tiny-1"
    shadow: Shadow | None = None

    def __post_init__(self) -> None:
        self.settings = Settings(**({"retailer": RETAILER} | self.document))
        self.cases.breaker = Breaker(Limits.from_settings(self.settings.scoring.breaker))
        self.cases.now_ms = lambda: to_epoch_ms(self.clock.now())
        self.restart()

    def restart(self) -> Engine:
        """A new process with the models of the topic."""
        self.metrics = Metrics()
        self.cache = ModelCache(self.folder / "models", RETAILER, self.metrics)
        if self.model is not None:
            self.promote(self.model, self.version)
        self.rulesets = RulesetCache(self.rules, self.archive, self.clock)
        self.engine = self.make_engine(self.clock)
        self.resolver: CaseResolver = make_resolver(self.settings, self.cases, self.clock, self.metrics)
        return self.engine

    def make_engine(self, clock: Clock, state: StateCoverage | None = None) -> Engine:
        """One more engine over the same."""
        return make_engine(
            self.settings, self.store, self.cases, self.cache, self.rulesets, clock, self.metrics,
            shadow=self.shadow, state=state,
        )  # fmt: skip

    def promote(self, package: bytes, version: str) -> None:
        """Sends a package and its promotion, as the models topic would."""
        self.model, self.version = package, version
        for _, value in tiny_messages(package, version):
            self.cache.offer(value)

    def challenge(self, package: bytes, version: str, *, share: float | None = None) -> None:
        """Sends a package and its challenge: a canary where a share is given, else in shadow."""
        for _, value in [*to_messages(package), tiny_challenge(package, version, share=share)]:
            self.cache.offer(value)

    def score(self, *transactions: Transaction) -> list[EventResult]:
        return self.score_events(records(transactions))

    def score_events(self, events: Sequence[RawEvent]) -> list[EventResult]:
        return score(self.engine, events)

    def verdict(self, one: Transaction) -> Verdict:
        return verdict_of(self.score(one)[0])

    def count(self, name: str, **labels: str) -> float:
        """A metric's value, 0 where it was never touched."""
        return self.metrics.registry.get_sample_value(name, {"retailer": RETAILER} | labels) or 0.0
