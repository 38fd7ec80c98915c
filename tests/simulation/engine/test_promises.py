"""The engine over a store that fails, with crashes, redeliveries, hot swaps and resolutions at random moments.

What is counted at the end is what a reader of the topics saw: every transaction has its full answer, and no two answers of
the same revision disagree.
"""

import random
from collections import defaultdict
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from contract.dead_letters import DeadLetter
from contract.events import Transaction
from contract.features import FeatureRecord
from contract.verdicts import Verdict
from scoring.ports import EventResult, RawEvent, StoreUnavailableError
from scoring.rules.ruleset import load_rules
from support.tiny_model import tiny_challenge, tiny_package
from support.workbench import RULES, START, Workbench, record, resolution, transaction

EVENTS = 400
SCORING = {"scoring": {"control_share": 0.1, "control_amount_max": 1000, "breaker": {"per_minute_max": 10}}}
RULESETS = [
    RULES,
    "rules: [{id: many, text: '{card_count_1h} payments', when: '(card_count_1h ?? 0) > 4', decision: hold}]",
    "rules: []",
]


class Topics:
    """What readers saw."""

    def __init__(self) -> None:
        self.verdicts: dict[str, list[Verdict]] = defaultdict(list)
        self.features: dict[str, set[bytes]] = defaultdict(set)
        self.dead_letters: list[DeadLetter] = []

    def publish(self, outcomes: list[EventResult]) -> None:
        for outcome in outcomes:
            if outcome.verdict is not None:
                verdict = msgspec.json.decode(outcome.verdict, type=Verdict)
                self.verdicts[verdict.transaction_id].append(verdict)
            if outcome.features is not None:
                found = msgspec.json.decode(outcome.features, type=FeatureRecord)
                self.features[found.transaction_id].add(outcome.features)
            if outcome.dead_letter is not None:
                self.dead_letters.append(msgspec.json.decode(outcome.dead_letter, type=DeadLetter))


class Simulation:
    """One worker reading one log; a crash forgets what is pending and reads on from the last commit."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.bench = Workbench(folder, document=SCORING)
        self.chance = chance
        self.topics = Topics()
        self.log = [record(self._event(number), number) for number in range(EVENTS)]
        self.position = 0
        self.pending: list[RawEvent] = []
        self.models = 1
        self.quiet = False

    def _event(self, number: int) -> Transaction | bytes:
        kind = self.chance.random()
        if kind < 0.03:
            return b"{broken"
        twin = self.chance.randrange(number + 1) if kind < 0.15 else number
        return transaction(
            twin,
            event_time=START + timedelta(seconds=twin / 4),  # never in the future, however little the clock moves
            amount_minor=(twin * 7919) % 90_000,
            card=f"k1:{twin % 9}",
            category="giftcard" if twin % 7 == 0 else None,
            customer="c-other" if kind < 0.05 else f"c-{twin}",
        )

    @property
    def committed(self) -> int:
        """Nothing is committed past an event that is not complete."""
        return min((event.offset for event in self.pending), default=self.position)

    def deliver(self) -> None:
        batch = self.log[self.position : self.position + self.chance.randint(1, 30)]
        self.position += len(batch)
        outcomes = self.bench.score_events(batch)
        self.handle(batch, outcomes)

    def handle(self, events: list[RawEvent], outcomes: list[EventResult]) -> None:
        if not self.quiet and self.chance.random() < 0.1:  # killed between publishing some of it and committing
            self.topics.publish(outcomes[: self.chance.randrange(len(outcomes) + 1)])
            self.crash()
            return
        self.topics.publish(outcomes)
        self.pending = [event for event in self.pending if event not in events]
        self.pending += [event for event, outcome in zip(events, outcomes, strict=True) if not outcome.complete]

    def retry(self) -> None:
        events = self.pending
        if events:
            outcomes = self.bench.engine.retry(events)
            self.handle(events, outcomes)

    def crash(self) -> None:
        """A new worker starts at the last commit, which lags behind what was done."""
        self.position, self.pending = max(0, self.committed - 30), []
        self.bench.restart()

    def fail(self) -> None:
        for name in ("broken", "silent", "deaf"):
            setattr(self.bench.store, name, self.chance.random() < 0.3)
        self.bench.cases.broken = self.chance.random() < 0.3
        self.bench.archive.broken = self.chance.random() < 0.3

    def heal(self) -> None:
        self.bench.store.broken = self.bench.store.silent = self.bench.store.deaf = False
        self.bench.cases.broken = self.bench.archive.broken = False

    def swap_model(self) -> None:
        self.models += 1
        version = f"m-{self.models}"
        self.bench.promote(tiny_package(version, bias=self.chance.uniform(-4, -1)), version)

    def try_canary(self) -> None:
        self.models += 1
        version = f"m-{self.models}"
        share = self.chance.choice([0.3, 0.8])
        self.bench.challenge(tiny_package(version, bias=self.chance.uniform(-4, 1)), version, share=share)

    def withdraw_canary(self) -> None:
        self.bench.cache.offer(tiny_challenge(None, None)[1])

    def swap_rules(self) -> None:
        self.bench.rules = load_rules(self.chance.choice(RULESETS), where="simulation")
        self.bench.rulesets.hand_over(self.bench.rules, archived=False)

    def snooze(self) -> None:
        """Another set of snoozes: some cards, some rules."""
        rules = ["giftcards", "many", "trusted-till"]
        self.bench.store.snoozes = {
            ("card", f"k1:{card}"): (self.chance.choice(rules),) for card in self.chance.sample(range(9), 4)
        }

    def resolve(self) -> None:
        known = sorted(self.topics.verdicts)
        if known:
            number = self.chance.randrange(10_000)
            outcome = self.chance.choice(["approved", "rejected", "step_up_passed", "step_up_failed"])
            event = resolution(self.chance.choice(known), outcome, f"r-{number}")
            for _ in range(self.chance.randint(1, 2)):
                self.topics.publish(self.bench.resolver.resolve([event]))

    def expire(self) -> None:
        self.bench.clock.advance(self.chance.uniform(0, 300))
        try:
            outcomes = self.bench.resolver.expire(5)
        except StoreUnavailableError:
            return
        if self.chance.random() < 0.7:
            self.topics.publish(outcomes)
            self.bench.resolver.confirm(outcomes)

    def meet_everything(self) -> None:
        """Two models and an outage, whatever chance brings afterwards."""
        for prepare in (self.swap_model, self.try_canary, self.swap_model, self.break_store):
            prepare()
            for _ in range(3):
                self.deliver()

    def break_store(self) -> None:
        self.bench.store.broken = True

    def run(self) -> None:
        steps = [self.deliver] * 8 + [self.retry] * 4 + [self.heal] * 3 + [
            self.fail, self.crash, self.swap_model, self.swap_rules, self.resolve, self.expire, self.try_canary,
            self.withdraw_canary, self.snooze,
        ]  # fmt: skip
        self.meet_everything()
        for _ in range(400):
            self.chance.choice(steps)()
        self.heal()
        self.quiet = True
        for _ in range(2 * EVENTS):
            self.bench.clock.advance(0.05)
            if self.position >= EVENTS and not self.pending:
                return
            self.retry()
            if self.position < EVENTS:
                self.deliver()
        raise AssertionError(f"{len(self.pending)} events never had a full answer")


@pytest.mark.parametrize("_run", range(5))
def test_every_transaction_is_answered_in_full_and_no_two_answers_disagree(
    tmp_path: Path, chance: random.Random, _run: int
) -> None:
    simulation = Simulation(tmp_path, chance)
    simulation.run()
    topics = simulation.topics
    named = {
        msgspec.json.decode(event.value or b"", type=Transaction).transaction_id
        for event in simulation.log
        if event.value != b"{broken"
    }
    assert set(topics.verdicts) == named
    for transaction_id, verdicts in topics.verdicts.items():
        by_revision: dict[int, set[tuple[str, float | None]]] = defaultdict(set)
        for verdict in verdicts:
            by_revision[verdict.revision].add((verdict.decision, verdict.score))
        assert all(len(answers) == 1 for answers in by_revision.values()), (transaction_id, by_revision)
        assert 1 in by_revision, f"{transaction_id} never had its full answer"
        assert len(topics.features[transaction_id]) == 1
    broken = {letter.position for letter in topics.dead_letters if letter.reason == "malformed"}
    assert broken == {f"0:{event.offset}" for event in simulation.log if event.value == b"{broken"}
    assert {letter.reason for letter in topics.dead_letters} <= {"malformed", "conflict", "not_resolvable"}
    told = {reason.code for verdicts in topics.verdicts.values() for verdict in verdicts for reason in verdict.reasons}
    assert told >= {"policy:breaker", "policy:control"}
    assert any(verdict.degraded for verdicts in topics.verdicts.values() for verdict in verdicts)
    assert len({verdict.model_version for verdicts in topics.verdicts.values() for verdict in verdicts}) > 2
