"""Every setting, in one place: a YAML file, overridden by environment variables `TILLGUARD_<SECTION>__<FIELD>`.

One file describes one retailer. Unknown keys are refused, secrets are never printed, and all faults are reported at once.
This module reads no file: `parse` takes what the composition root has read, and the environment.
"""

import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from contract.clock import EPOCH
from contract.codec import Admission
from contract.errors import ConfigurationError
from contract.federation.settings import FederationSettings
from contract.policies import BreakerSettings, FallbackSettings, HoldSettings
from contract.risk import LABEL_DELAY_DAYS_MAX
from contract.sections.backoffice import BackofficeSettings
from contract.sections.kafka_connection import KafkaConnection
from contract.sections.learning import LearningSettings
from contract.sections.models import CapacitySettings, DriftSettings
from contract.sections.section import CURRENCY, NAME, Days, Seconds, Section, describe_fault
from contract.sections.status import StatusSettings
from contract.windows import DAY_MS, LONGEST_WINDOW_MS


def _in_utc(moment: datetime) -> datetime:
    """A moment without a zone is meant in UTC; comparing it with one that has a zone would fail at run time."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _since_1970(moment: datetime) -> datetime:
    """Windows count milliseconds since 1970 and hold no negative ones."""
    if moment < EPOCH:
        raise ValueError("must not lie before 1970-01-01")
    return moment


CurrencyCode = Annotated[str, Field(pattern=CURRENCY)]
Rate = Annotated[float, Field(gt=0)]
UtcMoment = Annotated[datetime, AfterValidator(_in_utc), AfterValidator(_since_1970)]


class KafkaSettings(KafkaConnection):
    """A Kafka cluster and how to reach it."""

    SECTION = "kafka"

    partitions: int = Field(
        12, ge=1, le=1000, description="partitions of every scaled topic; the upper bound of scoring workers"
    )
    session_timeout_s: Seconds = Field(10.0, description="after this a dead worker's partitions go to another")


class RedisSettings(Section):
    """The store of windows, first sights, lists and holds."""

    host: str = Field("localhost", description="host name")
    port: int = Field(6379, ge=1, le=65535, description="port")
    database: int = Field(0, ge=0, description="number; 0 on a cluster")
    username: str | None = Field(None, description="ACL user")
    password: SecretStr | None = Field(None, description="password")
    tls: bool = Field(False, description="connect by TLS")
    ssl_ca_file: Path | None = Field(None, description="PEM of the authority that signed the server's certificate")
    ssl_cert_file: Path | None = Field(None, description="PEM of this client's certificate (mutual TLS)")
    ssl_key_file: Path | None = Field(None, description="PEM of this client's key (mutual TLS)")
    timeout_s: Seconds = Field(1.0, description="a connection or answer that takes longer counts as a failure")

    def to_redis_py(self) -> dict[str, Any]:
        """Keyword arguments of `redis.Redis`."""
        options: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "db": self.database,
            "socket_timeout": self.timeout_s,
            "socket_connect_timeout": self.timeout_s,
        }
        if self.username:
            options["username"] = self.username
        if self.password:
            options["password"] = self.password.get_secret_value()
        if self.tls:
            files = {
                "ssl_ca_certs": self.ssl_ca_file,
                "ssl_certfile": self.ssl_cert_file,
                "ssl_keyfile": self.ssl_key_file,
            }
            options |= {"ssl": True} | {key: str(file) for key, file in files.items() if file}
        return options


class RetentionSettings(Section):
    """How long topics and stores keep what they hold. Days of wall-clock time."""

    transactions_days: Days = Field(
        3, description="transactions topic; also how far back a worker could be asked to read"
    )
    verdicts_days: Days = Field(7, description="verdicts topic")
    features_days: Days = Field(90, description="feature log, what training can reach back to")
    labels_days: Days = Field(365, description="labels topic")
    resolutions_days: Days = Field(30, description="resolutions topic")
    dead_letters_days: Days = Field(30, description="dead-letters topic")
    outcomes_days: Days = Field(120, description="outcomes topic: what became known, for the risk of entities")
    shadow_scores_days: Days = Field(
        90, description="shadow-scores topic, what champion and challenger are compared on"
    )
    alarms_days: Days = Field(90, description="alarms topic")
    status_days: Days = Field(1, description="status topic; so long a process that ended is still known")
    control_days: Days = Field(1, description="control topic of the worker")
    first_sight_days: Days = Field(
        4,
        description="first-sight records in Redis; not less than transactions_days, or a redelivered transaction counts twice",
    )
    entity_idle_days: Days = Field(
        31, description="windows of an entity that is not seen any more; not less than the longest window"
    )
    case_days: Days = Field(30, description="held, flagged and blocked verdicts kept in Redis for resolutions")

    @model_validator(mode="after")
    def _outlives(self) -> Self:
        if self.first_sight_days < self.transactions_days:
            raise ValueError(
                "first_sight_days must be at least transactions_days, or a redelivered transaction would count twice"
            )
        if self.case_days < self.transactions_days:
            raise ValueError(
                "case_days must be at least transactions_days, or a redelivered transaction could be told something else"
            )
        if self.entity_idle_days * DAY_MS < LONGEST_WINDOW_MS:
            raise ValueError("entity_idle_days must be at least the longest window, or its counts would be too low")
        return self


class ScoringSettings(Section):
    """The scoring worker."""

    feed: Literal["librdkafka", "agent"] = Field("librdkafka", description="how the worker reads Kafka (ADR 0002)")
    batch_max: int = Field(256, ge=1, le=10_000, description="events scored together at most")
    budget_ms: Seconds = Field(
        50.0, description="from receipt to answer; past it rules alone decide and the verdict is degraded"
    )
    pending_max: int = Field(
        100_000, ge=1, description="degraded events waiting for their full answer; beyond it consumption pauses"
    )
    late_after_s: Seconds = Field(300.0, description="an event older than this at scoring is marked late")
    rules_file: Path | None = Field(
        None,
        description="YAML; the rules that ship with Tillguard where absent. Until `tillguard rules serve` put a version in service",
    )
    model_directory: Path = Field(Path(".tillguard/models"), description="this worker's cache of packages")
    web_host: str = Field("127.0.0.1", description="address of /health, /ready and /metrics; 0.0.0.0 in a container")
    web_port: int = Field(
        6066, ge=0, le=65535, description="port of /health, /ready and /metrics; 0 chooses a free one and logs it"
    )
    stall_after_s: Seconds = Field(
        30.0, description="lag without progress for so long: not ready; twice as long: exit for a restart"
    )
    shadow_time_share: float = Field(
        0.2,
        gt=0,
        le=1,
        description="how much of its time a worker gives to a challenger in shadow at most; what it does not reach is not scored",
    )
    fallback: FallbackSettings = Field(default_factory=FallbackSettings)
    hold: HoldSettings = Field(default_factory=HoldSettings)
    breaker: BreakerSettings = Field(default_factory=BreakerSettings)
    control_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of what the model would hold or block that goes through as `flag` all the same, so that its true label is seen; 0: none",
    )
    control_amount_max: float = Field(
        100.0, ge=0, description="amount in base currency, major units, above which nothing is let through for that"
    )


class CostSettings(Section):
    """What decisions cost, in base currency, major units; thresholds follow from them."""

    fraud_loss_share: float = Field(1.0, ge=0, description="share of the amount lost when a fraud is allowed")
    fraud_fee: float = Field(15.0, ge=0, description="fee of a chargeback, added to the loss")
    review_cost: float = Field(3.0, ge=0, description="an analyst looks at a flagged transaction")
    step_up_cost: float = Field(1.0, ge=0, description="a customer is asked for verification")
    lost_sale_share: float = Field(0.3, ge=0, description="share of the amount lost when a genuine customer is refused")
    review_saves_share: float = Field(
        0.7, ge=0, le=1, description="share of a fraud's cost that an analyst's review of a flagged one still prevents"
    )
    step_up_stops_share: float = Field(
        0.9, ge=0, le=1, description="share of a fraud's cost that a verification of a held one prevents"
    )
    step_up_abandon_share: float = Field(
        0.15, ge=0, le=1, description="share of genuine customers who give up when asked for verification"
    )


class TrainerSettings(LearningSettings):
    """Training, export and the registry."""

    registry_url: SecretStr = Field(
        SecretStr("sqlite:///.tillguard/registry.db"), description="SQLAlchemy URL of the model registry"
    )
    registry_directory: Path = Field(Path(".tillguard/registry"), description="where packages are kept")
    seed: int = Field(7, ge=0, description="seed of everything random in training")
    epochs_max: int = Field(20, ge=1, description="stops earlier when the validation slice no longer improves")
    costs: CostSettings = Field(default_factory=CostSettings)
    capacity: CapacitySettings = Field(default_factory=CapacitySettings)
    drift: DriftSettings = Field(default_factory=DriftSettings)
    label_delay_days: float = Field(
        7.0,
        ge=0,
        le=LABEL_DELAY_DAYS_MAX,
        description="frauds count in the risk of entities from then on (serving and training alike); a transaction without a label counts as genuine once it is older than this; younger ones are left out",
    )


class ConnectorSettings(Section):
    """What all connectors of the retailer share; each connector has a YAML file of its own besides."""

    positions_url: SecretStr = Field(
        SecretStr("sqlite:///.tillguard/positions.db"), description="SQLAlchemy URL of the saved positions"
    )
    token_keys: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="tokenisation keys by id, each at least 32 hex digits; keep old ones while they rotate",
    )
    token_key_id: str | None = Field(None, description="the key that makes new tokens")
    token_previous_key_id: str | None = Field(
        None, description="the key before it, while windows move over (the longest window, 30 days)"
    )

    tokenise_also: tuple[Literal["customer", "device", "coupon", "terminal"], ...] = Field(
        (),
        description="fields of transactions by HTTP that become tokens besides card, email, phone, ip and address; name those that your connector files mark `tokenise: true`, so that both ways give the same tokens",
    )

    @model_validator(mode="after")
    def _keys_are_known(self) -> Self:
        for field, key_id in (
            ("token_key_id", self.token_key_id),
            ("token_previous_key_id", self.token_previous_key_id),
        ):
            if key_id is not None and key_id not in self.token_keys:
                raise ValueError(f"{field} names a key that token_keys does not hold")
        short = [key_id for key_id, key in self.token_keys.items() if len(key.get_secret_value()) < 32]
        if short:
            raise ValueError(f"token_keys {', '.join(short)}: a key needs at least 32 hex digits (128 bits)")
        return self


class LogSettings(Section):
    """Logs go to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least severe level shown")
    format: Literal["json", "text"] = Field("json", description="json for machines, text for people")


class SettingsFile(BaseSettings):
    """A settings file, with the environment on top."""

    model_config = SettingsConfigDict(
        env_prefix="TILLGUARD_", env_nested_delimiter="__", extra="forbid", frozen=True, allow_inf_nan=False
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment overrides the file (which arrives as init arguments)."""
        return env_settings, init_settings


class Settings(SettingsFile):
    """Everything one retailer's processes need."""

    retailer: str = Field(pattern=NAME, description="name, first part of every topic")
    base_currency: str = Field("EUR", pattern=CURRENCY, description="ISO 4217; windows sum in it")
    rates: dict[CurrencyCode, Rate] = Field(
        default_factory=dict, description="units of base currency that one unit of a currency is worth"
    )
    earliest_event_time: UtcMoment = Field(
        datetime(2000, 1, 1, tzinfo=UTC), description="older transactions are dead letters; UTC where no zone is given"
    )
    future_tolerance_s: float = Field(
        300.0, ge=0, le=31_536_000, description="how far event_time may be ahead of the clock"
    )
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    connectors: ConnectorSettings = Field(default_factory=ConnectorSettings)
    scoring: ScoringSettings = Field(default_factory=ScoringSettings)
    trainer: TrainerSettings = Field(default_factory=TrainerSettings)
    federation: FederationSettings = Field(default_factory=FederationSettings)
    status: StatusSettings = Field(default_factory=StatusSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @property
    def admission(self) -> Admission:
        """What this retailer accepts as a transaction."""
        return Admission(
            retailer=self.retailer,
            base_currency=self.base_currency,
            rates=self.rates,
            earliest_event_time=self.earliest_event_time,
            future_tolerance=timedelta(seconds=self.future_tolerance_s),
        )


class CoordinatorFile(SettingsFile):
    """Everything that a federation's coordinator needs; it belongs to no retailer, so it has a file of its own."""

    federation: FederationSettings = Field(default_factory=FederationSettings)
    log: LogSettings = Field(default_factory=LogSettings)


class BackofficeFile(SettingsFile):
    """Everything that the backoffice of an installation needs, next to the settings of its retailers."""

    backoffice: BackofficeSettings = Field(default_factory=BackofficeSettings)
    log: LogSettings = Field(default_factory=LogSettings)


F = TypeVar("F", bound=BaseSettings)


def parse(document: object, *, where: str) -> Settings:
    """A retailer's settings from a parsed YAML `document` and the environment; raises ConfigurationError that lists every fault.

    `where` names the file in the faults. Values are never repeated, since one of them may be a secret.
    """
    return parse_as(Settings, document, where=where)


def parse_as(kind: type[F], document: object, *, where: str) -> F:
    """As `parse`, for another kind of settings file."""
    if not isinstance(document, dict):
        raise ConfigurationError([f"{where}: expected a mapping of settings"])
    # Keys that are no text cannot be passed on, and those with a leading underscore are options of pydantic-settings itself.
    strange = [key for key in document if not isinstance(key, str) or key.startswith("_")]
    faults = [f"{where}: {key}: no such setting" for key in strange] + _unknown_sections(os.environ)
    try:
        settings = kind(**{key: value for key, value in document.items() if key not in strange})
    except ValidationError as error:
        faults += list_faults(error, where=where)
    except SettingsError as error:
        field = re.search(r'field "(\w+)"', str(error))
        name = f"TILLGUARD_{field.group(1).upper()}" if field else "a TILLGUARD_ variable"
        faults.append(f"environment: {name} (or a variable below it) is not valid JSON")
    if faults:
        raise ConfigurationError(faults)
    return settings


def list_faults(error: ValidationError, *, where: str) -> list[str]:
    """Each fault of a pydantic validation as one sentence, without the offending value."""
    return [
        f"{where}: {'.'.join(str(part) for part in fault['loc']) or '(whole file)'}: "
        + ("no such setting" if fault["type"] == "extra_forbidden" else describe_fault(fault))
        for fault in error.errors(include_input=False, include_url=False)
    ]


def _unknown_sections(variables: Iterable[str]) -> list[str]:
    """Variables that look like settings but name no section; pydantic reports wrong names only below a section.

    Names without a double underscore are left alone: Kubernetes makes some like them for services.
    """
    sections = {name.upper() for kind in (Settings, BackofficeFile) for name in kind.model_fields}
    return [
        f"environment: {name}: no such setting"
        for name in sorted(variables)
        if name.upper().startswith("TILLGUARD_") and "__" in name
        if name.upper().removeprefix("TILLGUARD_").partition("__")[0] not in sections
    ]
