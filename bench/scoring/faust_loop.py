"""A minimal Faust application doing what the limit loop does: `python -m bench.scoring.faust_loop --config FILE --model FILE`.

`stream.take`, JSON decode, the same window script, ONNX, one verdict through librdkafka. What the agent feed reaches is told
as a share of this.
"""

import argparse
import logging
from pathlib import Path
from typing import Any

import faust

from bench.scoring.limit_loop import Bare
from contract.settings import Settings
from contract.topics import TRANSACTIONS
from tillguard.config import load

LINGER_S = 0.002
"""Longest wait to fill a batch."""


class LoopApp(faust.App):
    """Keeps nothing on disk."""

    def _create_directories(self) -> None:
        """There are no tables."""


def build(settings: Settings, model: bytes) -> LoopApp:
    """The application."""
    app = LoopApp(
        f"{settings.retailer}.scoring",
        broker=f"kafka://{settings.kafka.bootstrap_servers}",
        broker_session_timeout=settings.kafka.session_timeout_s,
        broker_heartbeat_interval=settings.kafka.session_timeout_s / 5,
        consumer_auto_offset_reset="earliest",
        store="memory://",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_buffer_maxsize=4 * settings.scoring.batch_max,
        loghandlers=[],
    )
    bare = Bare(settings, model, "bench-faust")
    topic = app.topic(TRANSACTIONS.name(settings.retailer), value_type=bytes, value_serializer="raw")

    async def transactions(stream: Any) -> None:
        async for values in stream.take(settings.scoring.batch_max, within=LINGER_S):
            bare.answer(bare.ask(values))

    app.agent(topic, name="transactions", concurrency=1)(transactions)
    return app


def main() -> None:
    """Runs until SIGTERM."""
    parser = argparse.ArgumentParser(description="A minimal Faust application that scores.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="ONNX file")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    worker = faust.Worker(
        build(load(file=options.config), options.model.read_bytes()),
        quiet=True,
        override_logging=False,
        redirect_stdouts=False,
        loglevel="WARNING",
    )
    worker.spinner = None
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
