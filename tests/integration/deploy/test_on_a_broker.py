import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from typer.testing import CliRunner

from contract.codec import Decoder, encode
from contract.topics import TOPICS, VERDICTS
from contract.verdicts import Verdict
from tillguard.cli import app

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.integration


def retention_ms(settings: Any, topic: str) -> str:
    client = KafkaAdminClient(**settings.kafka.to_kafka_python())
    try:
        found = client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    finally:
        client.close()
    return re.search(r"retention\.ms\W+(?:value\W+)?(-?\d+)", str(found))[1]  # type: ignore[index]


def test_the_topics_command_creates_then_keeps_then_corrects(retailer: Any, retailer_name: Any) -> None:
    document = yaml.safe_load(retailer.file.read_text())
    document["retailer"] = f"{retailer_name}-b"
    file = retailer.file.with_name("b.yaml")

    def run() -> str:
        file.write_text(yaml.safe_dump(document))
        done = CliRunner().invoke(app, ["topics", "--config", str(file)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    first = run()
    assert all(topic.name(f"{retailer_name}-b") in first for topic in TOPICS)
    assert "every topic is as the settings say" in run()
    document["retention"] = {"verdicts_days": 2}
    assert VERDICTS.name(f"{retailer_name}-b") in run()
    assert retention_ms(retailer.settings, VERDICTS.name(f"{retailer_name}-b")) == str(2 * 86_400_000)


def test_the_checkout_guide_s_code_prints_each_revision_once_and_never_goes_back(retailer: Any) -> None:
    golden = ROOT / "tests" / "golden" / "v1"
    decoder = Decoder(Verdict)
    degraded, full, resolved = (
        decoder.decode((golden / f"verdict-{name}.json").read_bytes()) for name in ("degraded", "full", "resolved")
    )
    topic = VERDICTS.name(retailer.name)
    producer = KafkaProducer(**retailer.settings.kafka.to_kafka_python(), acks="all")
    try:
        for verdict in (degraded, degraded, full, degraded, full, resolved):
            producer.send(topic, key=b"t-1", value=encode(verdict)).get(30)
        producer.send(topic, key=b"t-0", value=None).get(30)
        last = msgspec.structs.replace(full, transaction_id="t-1-last", decision="block")
        producer.send(topic, key=b"t-1", value=encode(last)).get(30)
    finally:
        producer.close()

    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "checkout.md").read_text(encoding="utf-8"), re.DOTALL)
    code = code.replace("localhost:9092", retailer.settings.kafka.bootstrap_servers)
    code = code.replace("meadow.verdicts.v1", topic).replace('"latest"', '"earliest"')
    process = subprocess.Popen([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True)
    seen = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            seen.append(line.split()[:2])
            if line.startswith("t-1-last"):
                break
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
    assert seen == [["t-1", "hold"], ["t-1", "hold"], ["t-1", "allow"], ["t-1-last", "block"]]
