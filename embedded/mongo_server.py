"""A server that speaks MongoDB's protocol and keeps everything in memory, for machines where no `mongod` can be had.

As a module it describes the server to the stack; run with `-m` it is the server, in a process and JVM of its own.
It stands in for a replica set: change streams work, data and resume tokens end with the process.
"""

import argparse
import os
import secrets
import signal
import sys
import threading
from pathlib import Path

import jpype
import pymongo

from embedded import artifacts, java
from embedded.ledger import Endpoint
from embedded.service import Launch, Place
from runtime.ports import HOST, require_listener

VERSION = (5, 0, 0)
WIRE_VERSION = 13
"""What MongoDB 5.0 answers; drivers refuse the library's own, older numbers."""


class MongoServer:
    """mongo-java-server with its memory backend and an oplog."""

    name = "mongodb"
    remembers = False
    space_bytes = 10 << 20
    start_timeout_s = 60.0
    stop_timeout_s = 15.0

    def make_endpoint(self, port: int, spare_port: int, known: Endpoint | None) -> Endpoint:  # noqa: ARG002 - nothing is kept
        uri = f"mongodb://{HOST}:{port}/?directConnection=true"
        return Endpoint(HOST, port, uri, generation=secrets.token_hex(8))

    def install(self, place: Place) -> None:
        _jars(place)

    def configure(self, place: Place, endpoint: Endpoint) -> Launch:
        command = [
            sys.executable, "-m", "embedded.mongo_server", "--port", str(endpoint.port),
            "--folder", self.make_marker(place),
        ]  # fmt: skip
        return Launch(command, {"CLASSPATH": os.pathsep.join(map(str, _jars(place)))})

    def make_marker(self, place: Place) -> str:
        return str(place.folder)

    def probe(self, endpoint: Endpoint, timeout_s: float) -> None:
        require_listener(endpoint.port, timeout_s)
        limit = int(timeout_s * 1000)
        client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(
            endpoint.uri, serverSelectionTimeoutMS=limit, connectTimeoutMS=limit, socketTimeoutMS=limit
        )
        with client:
            client.admin.command("ping")


def _jars(place: Place) -> list[Path]:
    return artifacts.fetch(artifacts.list_pinned("mongodb"), place.cache, place.report, label="Mongo wire server")


class _Version:
    """Answers for the Java interface MongoVersion; the method names are Java's."""

    def getVersionArray(self) -> object:  # noqa: N802
        return jpype.java.util.Arrays.asList([jpype.JInt(number) for number in VERSION])

    def getWireVersion(self) -> int:  # noqa: N802
        return WIRE_VERSION

    def toVersionString(self) -> str:  # noqa: N802
        return ".".join(map(str, VERSION))


def main() -> None:
    """Serves until SIGTERM or SIGINT; the jars stand in CLASSPATH."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", required=True, help="marks the process as this state folder's")
    arguments = parser.parse_args()
    # -Xrs: signals stay Python's.
    jpype.startJVM(
        str(java.find_library()),
        "-Xrs",
        "-Xms64m",
        # It holds every document and the oplog in memory: 100,000 small documents do not fit into 512 MB.
        "-Xmx2g",
        *java.JVM_MODULES,
        classpath=os.environ["CLASSPATH"].split(os.pathsep),
    )
    mongo = jpype.JPackage("de").bwaldvogel.mongo
    version = jpype.JProxy(mongo.MongoVersion, inst=_Version())
    server = mongo.MongoServer(mongo.backend.memory.MemoryBackend().version(version))
    server.enableOplog()
    server.bind(HOST, arguments.port)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    sys.stdout.write(f"serving on {HOST}:{arguments.port}\n")
    sys.stdout.flush()
    stopped.wait()
    server.shutdownNow()


if __name__ == "__main__":
    main()
