"""What goes to the workers over the models topic: promotions, rollbacks, challengers. Registry first, then Kafka, then registry.

Every function may be repeated after any failure; until it has succeeded, what served continues.
"""

from collections.abc import Sequence
from datetime import datetime

import structlog

from contract.errors import ConfigurationError, TransientError
from contract.models import ChallengeMode, ModelChallenge, ModelPromotion
from contract.package import to_challenge, to_messages
from contract.settings import Settings
from contract.topics import MODELS
from runtime.kafka import topics
from runtime.kafka.producer import SharedProducer
from runtime.locks import HeldLock, LockBusyError
from trainer.learning.package_repair import read_whole_package
from trainer.learning.package_writer import publish
from trainer.registry.registry import Entry, PromotionKind, Registry, ServingRevision
from trainer.registry.serving_state import find_previously_serving

STANDING_WAIT_S = 120.0

log = structlog.get_logger()


def promote_model(
    settings: Settings,
    registry: Registry,
    entry: Entry,
    *,
    by: str,
    now: datetime,
    kind: PromotionKind = "manual",
    reason: str = "",
    since: ServingRevision | None = None,
) -> None:
    """Puts a registered model in service: every chunk confirmed, then the promotion. A challenger that is promoted ends as such.

    `since`: only where nothing was promoted since then. Raises PinnedError for kind `trained` while the retailer is pinned;
    ServingChangedError; PackageRefusedError where the registered file is damaged (and its copy on the topic too) or made for
    other features, TransientError where Kafka or the registry does not answer; then the model that served continues.
    """
    package = read_whole_package(settings, registry, entry)
    to_messages(package)  # refused here, before the registry says that it is on its way
    promotion = ModelPromotion(
        model_version=entry.manifest.model_version,
        package_sha256=entry.package_sha256,
        promoted_at=now,
        promoted_by=by,
    )
    # One after another, to the end: what the registry calls the newest is also the last on the topic.
    with _outlet(settings) as outlet, _standing(settings, registry):
        number = registry.begin_promotion(entry, now, by, kind, reason, since=since)
        publish(outlet, MODELS.name(settings.retailer), package, promotion)
        registry.confirm_promotion(number)
    log.info("model_promoted", model_version=promotion.model_version, by=by, kind=kind)
    challenger = registry.find_challenger(settings.retailer)
    if challenger is not None and challenger.model_version == promotion.model_version:
        withdraw(settings, registry, by=by, now=now)


def publish_model(settings: Settings, registry: Registry, entry: Entry) -> None:
    """Sends a registered model to the workers without putting it in service, for transactions that it judged first.

    Raises PackageRefusedError, TransientError.
    """
    package = read_whole_package(settings, registry, entry)
    with _outlet(settings) as outlet:
        publish(outlet, MODELS.name(settings.retailer), package, None)
    log.info("model_published", model_version=entry.manifest.model_version)


def roll_back(settings: Settings, registry: Registry, *, by: str, now: datetime, reason: str = "") -> Entry:
    """Puts the model in service that served before this one, and gives it; again: the one before that.

    Raises ConfigurationError where none did, else as promote_model.
    """
    version = find_previously_serving(registry.list_promotions(settings.retailer))
    if version is None:
        raise ConfigurationError([f"{settings.retailer}: no model served before the present one; see `models list`"])
    entry = registry.find(settings.retailer, version)
    if entry is None:
        raise ConfigurationError([f"{settings.retailer}: {version} served before, and the registry has it no more"])
    promote_model(settings, registry, entry, by=by, now=now, kind="rollback", reason=reason)
    return entry


def pin(
    settings: Settings, registry: Registry, entry: Entry | None, *, by: str, now: datetime, reason: str = ""
) -> Entry:
    """Keeps trainings from putting their models in service; `entry` (None: what serves) is put in service where it is not.

    Gives the pinned model. Raises ConfigurationError where nothing serves, else as promote_model.
    """
    serving = registry.find_serving(settings.retailer)
    wanted = entry or serving
    if wanted is None:
        raise ConfigurationError([f"{settings.retailer}: no model serves; name the one to pin"])
    with _standing(settings, registry):  # a training that is publishing does so to the end; from here on none begins
        registry.pin(wanted, now, by, reason)
    serving = registry.find_serving(settings.retailer)
    if serving is None or serving.manifest.model_version != wanted.manifest.model_version:
        promote_model(settings, registry, wanted, by=by, now=now, kind="pin", reason=reason)
    return wanted


def challenge(
    settings: Settings,
    registry: Registry,
    entry: Entry,
    *,
    mode: ChallengeMode,
    by: str,
    now: datetime,
    share: float = 0.0,
) -> None:
    """Lets a registered model run next to the serving one: `shadow`, or `canary` for a share of customers.

    Raises ConfigurationError where it serves already, else as promote_model.
    """
    version = entry.manifest.model_version
    serving = registry.find_serving(settings.retailer)
    if serving is None:
        raise ConfigurationError([f"{settings.retailer}: no model serves, so there is nothing to challenge"])
    if serving.manifest.model_version == version:
        raise ConfigurationError([f"{version} serves; it cannot challenge itself"])
    messages = to_messages(read_whole_package(settings, registry, entry))
    message = ModelChallenge(
        model_version=version,
        package_sha256=entry.package_sha256,
        mode=mode,
        share=share if mode == "canary" else 0.0,
        decided_at=now,
        decided_by=by,
    )
    _send_challenge(settings, registry, entry, message, messages)
    log.info("challenger_set", model_version=version, mode=mode, share=message.share, by=by)


def withdraw(settings: Settings, registry: Registry, *, by: str, now: datetime) -> None:
    """Ends shadow or canary; also where none is known, since workers may have heard of one. Raises TransientError."""
    message = ModelChallenge(
        model_version=None, package_sha256=None, mode="shadow", share=0.0, decided_at=now, decided_by=by
    )
    _send_challenge(settings, registry, None, message, [])
    log.info("challenger_withdrawn", by=by)


def _send_challenge(
    settings: Settings,
    registry: Registry,
    entry: Entry | None,
    message: ModelChallenge,
    before: Sequence[tuple[bytes, bytes]],
) -> None:
    topic = MODELS.name(settings.retailer)
    with _outlet(settings) as outlet:
        number = registry.begin_challenge(
            settings.retailer, entry, message.decided_at, message.decided_by, mode=message.mode, share=message.share
        )
        if before:
            outlet.deliver(topic, before)
        outlet.deliver(topic, [to_challenge(message)])
    registry.confirm_challenge(number)


def _standing(settings: Settings, registry: Registry) -> HeldLock:
    """Raises TransientError where another change of what serves does not end."""
    try:
        return registry.hold("standing", settings.retailer, wait_s=STANDING_WAIT_S)
    except LockBusyError as busy:
        raise TransientError(
            f"another process has been changing what serves at {settings.retailer} for {STANDING_WAIT_S:.0f} s ({busy.by})"
        ) from None


def _outlet(settings: Settings) -> SharedProducer:
    topics.ensure(settings, (MODELS,))
    return SharedProducer(settings.kafka, f"{settings.retailer}-models")
