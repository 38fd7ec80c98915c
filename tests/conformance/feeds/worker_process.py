"""A worker process around a scorer that needs no model and no store; run by the suite for each feed.

The folder steers it: while `store-down` exists answers are degraded, while `broken` exists the scorer raises.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from contract.clock import SystemClock
from contract.settings import KafkaSettings
from contract.topics import CONTROL, TRANSACTIONS
from runtime.kafka.producer import SharedProducer
from scoring.feeds.librdkafka_feed import LibrdkafkaFeed
from scoring.feeds.pipeline import Pipeline
from scoring.feeds.ports import FeedState
from scoring.feeds.publisher import VERDICT_LINGER_MS, KafkaPublisher
from scoring.ports import EventResult, RawEvent
from scoring.worker import faust_app
from scoring.worker.agent_feed import AgentFeed
from scoring.worker.health import Fault, Readiness


class FileSteeredScorer:
    """Says which event it saw; knows nothing else."""

    def __init__(self, folder: Path) -> None:
        self._store_down = folder / "store-down"
        self._broken = folder / "broken"

    def submit(self, events: Sequence[RawEvent]) -> Sequence[RawEvent]:
        if self._broken.exists():
            raise RuntimeError("the scorer is broken")
        return events

    def collect(self, ticket: Sequence[RawEvent]) -> list[EventResult]:
        down = self._store_down.exists()
        return [self._answer(event, degraded=down) for event in ticket]

    def retry(self, events: Sequence[RawEvent]) -> list[EventResult]:
        if self._store_down.exists():
            return [EventResult(key=event.key or b"", complete=False) for event in events]
        return [self._answer(event, degraded=False) for event in events]

    def run_deferred(self) -> None:
        """Nothing follows."""

    def _answer(self, event: RawEvent, *, degraded: bool) -> EventResult:
        place = {"partition": event.partition, "offset": event.offset, "appended_ms": event.appended_ms}
        try:
            identity = str(json.loads(event.value or b"")["id"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return EventResult(key=event.key or b"unknown", dead_letter=json.dumps(place).encode())
        verdict = json.dumps({"id": identity, "revision": 0 if degraded else 1, **place}).encode()
        features = None if degraded else identity.encode()
        return EventResult(key=identity.encode(), verdict=verdict, features=features, complete=not degraded)


def lag_of(state: FeedState) -> Readiness:
    """Always ready; tells the lag of a feed that has its partitions, and its progress, as reason and remedy of a check."""
    lag = "unknown" if state.assigned is None else str(state.lag)
    return Readiness(ready=True, checks={"lag": Fault(lag, str(state.progress))})


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--feed", choices=("librdkafka", "agent"), required=True)
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--retailer", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--pending-max", type=int, default=1000)
    chosen = parser.parse_args()

    kafka = KafkaSettings(bootstrap_servers=chosen.kafka, session_timeout_s=6)
    clock = SystemClock()
    unhurried = SharedProducer(kafka, f"{chosen.name}-unhurried", endless=True)
    verdicts = SharedProducer(kafka, f"{chosen.name}-verdicts", endless=True, linger_ms=VERDICT_LINGER_MS)
    publisher = KafkaPublisher(chosen.retailer, unhurried, verdicts)
    pipeline = Pipeline(
        FileSteeredScorer(chosen.folder), publisher, clock, batch_max=64, pending_max=chosen.pending_max
    )
    topic, group = TRANSACTIONS.name(chosen.retailer), f"{chosen.retailer}.scoring"
    loops: dict[str, faust_app.Loop] = {}
    agent = None
    feed: LibrdkafkaFeed | AgentFeed
    if chosen.feed == "librdkafka":
        feed = LibrdkafkaFeed(kafka, pipeline, publisher, clock, topic=topic, group=group, client_id=chosen.name)
        loops["transactions"] = feed
    else:
        feed = agent = AgentFeed(pipeline, publisher, clock, topic=topic, batch_max=64)
    app = faust_app.build(
        faust_app.Hosted(
            name=group if agent else f"{group}-control",
            kafka=kafka,
            control_topic=CONTROL.name(chosen.retailer),
            web_host="127.0.0.1",
            web_port=0,
            ready=lambda: lag_of(feed.state),
            registry=CollectorRegistry(),
            loops=loops,
            agent=agent,
            on_address=(chosen.folder / f"{chosen.name}.url").write_text,
        )
    )
    return faust_app.run(app, level="INFO")


if __name__ == "__main__":
    sys.exit(main())
