"""Apache Kafka, broker and controller in one process, from its Maven artifacts."""

import os
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from kafka import KafkaAdminClient

from embedded import artifacts, java
from embedded.errors import ServiceFailedError
from embedded.ledger import Endpoint
from embedded.service import Launch, Place
from runtime.ports import HOST, require_listener

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
log.dirs={data}
# A topic that nobody made is a mistake worth hearing of; runtime/kafka/topics.py makes them.
auto.create.topics.enable=false
delete.topic.enable=true
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# Dead workers' partitions move on within seconds.
group.min.session.timeout.ms=1000
# After kill -9 the broker is fenced until its old session ends: 9 s by default. Much shorter, and a disk that is slow for two
# seconds fences a broker that is well, for every heartbeat waits behind the controller's own writes.
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
background.threads=4
log.segment.bytes=67108864
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=16777216
"""

LOGGING = """\
status=error
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={logs}/kafka-server.log
appender.file.filePattern={logs}/kafka-server.log.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=[%d] %p %m (%c)%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=5MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=3
rootLogger.level=INFO
rootLogger.appenderRef.file.ref=file
"""

JVM_OPTIONS = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
"""A broker for one machine runs for minutes: optimising compilers and concurrent collectors cost twice the processor time that it needs without."""
HEAP = ["-Xms128m", "-Xmx512m"]
FORMAT_TIMEOUT_S = 120.0


class KafkaServer:
    """Kafka 4.1 in KRaft mode."""

    name = "kafka"
    remembers = True
    space_bytes = 150 << 20
    start_timeout_s = 120.0
    stop_timeout_s = 40.0

    def make_endpoint(self, port: int, spare_port: int, known: Endpoint | None) -> Endpoint:
        controller = known.controller_port if known and known.controller_port else spare_port
        return Endpoint(HOST, port, f"{HOST}:{port}", controller_port=controller)

    def install(self, place: Place) -> None:
        _classpath(place)

    def configure(self, place: Place, endpoint: Endpoint) -> Launch:
        properties = place.folder / "server.properties"
        logging = place.folder / "log4j2.properties"
        data = place.folder / "data"
        properties.write_text(
            PROPERTIES.format(
                host=endpoint.host, port=endpoint.port, controller_port=endpoint.controller_port, data=_escaped(data)
            ),
            encoding="utf-8",
        )
        logging.write_text(LOGGING.format(logs=_escaped(place.logs)), encoding="utf-8")
        if not (data / "bootstrap.checkpoint").exists():
            self._format(place, properties)
        return Launch([*_java(place, HEAP), "kafka.Kafka", str(properties)], {"CLASSPATH": _classpath(place)})

    def make_marker(self, place: Place) -> str:
        return str(place.folder / "server.properties")

    def probe(self, endpoint: Endpoint, timeout_s: float) -> None:
        """Metadata names a broker only when it is no longer fenced."""
        require_listener(endpoint.port, timeout_s)
        client = KafkaAdminClient(
            bootstrap_servers=endpoint.uri,
            request_timeout_ms=int(timeout_s * 1000),
            bootstrap_timeout_ms=int(timeout_s * 1000),
            api_version=(4, 0),
        )
        try:
            if not client.describe_cluster()["brokers"]:
                raise ServiceFailedError("kafka: the broker is not registered yet")
        finally:
            client.close()

    def _format(self, place: Place, properties: Path) -> None:
        """Writes the identity of the cluster. Interrupted, it is repeated: --ignore-formatted passes over what is there."""
        command = [
            *_java(place, ["-Xmx128m"]),
            "kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", generate_cluster_id(), "-c", str(properties),
        ]  # fmt: skip
        done = subprocess.run(  # noqa: S603 - our own command line
            command,
            capture_output=True,
            text=True,
            timeout=FORMAT_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "CLASSPATH": _classpath(place)},
        )
        if done.returncode != 0:
            raise ServiceFailedError(
                f"kafka: its data folder could not be prepared: {(done.stderr or done.stdout)[-800:]}"
            )


def generate_cluster_id() -> str:
    """A new one: 16 bytes in URL-safe base64. It never begins with a dash, which the format tool takes for an option."""
    first, *rest = uuid.uuid4().bytes
    return urlsafe_b64encode(bytes([first & 0x7F, *rest])).decode().rstrip("=")


def _java(place: Place, options: list[str]) -> list[str]:
    logging = f"-Dlog4j2.configurationFile={place.folder / 'log4j2.properties'}"
    return [str(java.find_executable()), *JVM_OPTIONS, *options, *java.JVM_MODULES, logging]


def _classpath(place: Place) -> str:
    jars = artifacts.fetch(artifacts.list_pinned("kafka"), place.cache, place.report, label="Kafka")
    return os.pathsep.join(map(str, jars))


def _escaped(path: Path) -> str:
    """`path` as the value of a Java properties file, where a backslash escapes and whatever is not ASCII is written by code."""
    text = str(path).replace("\\", "\\\\")
    units = text.encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
    return "".join(chr(code) if 0x20 <= code < 0x7F else f"\\u{code:04x}" for code in codes)
