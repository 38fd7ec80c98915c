"""A model's package, also where the registry's file is gone or half written: the workers' copy lies on the models topic."""

from collections.abc import Iterable

import msgspec
import structlog

from contract.errors import PackageRefusedError, TransientError
from contract.models import ModelChunk, ModelMessage
from contract.settings import Settings
from contract.topics import MODELS
from runtime.kafka.topic_log import TopicReader
from trainer.registry.registry import Entry, Registry

log = structlog.get_logger()


def read_whole_package(settings: Settings, registry: Registry, entry: Entry) -> bytes:
    """The registered package, its file put back from the topic where that is damaged.

    Raises PackageRefusedError where the topic does not have it either, TransientError where the registry does not answer.
    """
    try:
        return registry.read_package(entry)
    except PackageRefusedError as error:
        package = _from_topic(settings, entry, error)
    registry.restore(entry, package)
    log.warning("package_restored", model_version=entry.manifest.model_version, source=MODELS.name(settings.retailer))
    return package


def _from_topic(settings: Settings, entry: Entry, damage: PackageRefusedError) -> bytes:
    topic = MODELS.name(settings.retailer)
    try:
        values = (
            record.value for record in TopicReader(settings.kafka).read_until_now(topic) if record.value is not None
        )
        package = assemble(values, entry.manifest.model_version, entry.package_sha256)
        why = f"{topic} does not hold it whole either"
    except TransientError as error:
        package, why = None, f"its copy on {topic} cannot be read: {error}"
    if package is None:
        raise PackageRefusedError(
            damage.reason, f"{damage.detail}, and {why}; put the file back from a backup"
        ) from None
    return package


def assemble(values: Iterable[bytes], model_version: str, sha256: str) -> bytes | None:
    """The package of that version and checksum from the models topic's messages; None where a piece is missing. Pure."""
    decoder = msgspec.json.Decoder(ModelMessage)
    pieces: dict[int, bytes] = {}
    count = None
    for value in values:
        try:
            message = decoder.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if isinstance(message, ModelChunk) and (message.model_version, message.package_sha256) == (
            model_version,
            sha256,
        ):
            pieces[message.index], count = message.data, message.count
    if count is None or len(pieces) != count:
        return None
    return b"".join(data for _, data in sorted(pieces.items()))
