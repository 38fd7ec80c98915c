import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from contract.errors import ConfigurationError
from contract.sections.section import IN_WORDS
from contract.settings import CoordinatorFile, KafkaSettings, RedisSettings, Settings, parse

SECRET = "correct-horse-battery-staple"
KEY = "0123456789abcdef" * 2


def faults(document: object) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse(document, where="settings.yaml")
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value.faults


def test_a_retailer_s_name_is_all_that_must_be_given() -> None:
    settings = parse({"retailer": "acme"}, where="settings.yaml")
    assert settings.kafka.bootstrap_servers == "localhost:9092"
    assert settings.admission.retailer == "acme"
    assert settings.admission.future_tolerance == timedelta(minutes=5)


def test_all_faults_are_told_at_once_each_with_its_place() -> None:
    found = faults(
        {
            "retailer": "Acme!",
            "kafka": {"typo": 1},
            "redis": {"port": 0, "password": ["not", "text"]},
            "scoring": {"batch_max": "many"},
        }
    )
    places = {fault.split(": ")[1] for fault in found}
    assert places == {"retailer", "kafka.typo", "redis.port", "redis.password", "scoring.batch_max"}
    assert all(fault.startswith("settings.yaml: ") for fault in found)


@pytest.mark.parametrize("document", [{"typo": 1}, {"kafka": {"typo": 1}}, {1: 2}, {"_env_prefix": "OTHER_"}])
def test_an_unknown_key_is_refused_wherever_it_stands(document: Any) -> None:
    assert any("no such setting" in fault for fault in faults({"retailer": "acme", **document}))


@pytest.mark.parametrize("document", [None, [], "retailer: acme", 3])
def test_a_file_that_is_no_mapping_is_one_clear_fault(document: Any) -> None:
    assert faults(document) == ["settings.yaml: expected a mapping of settings"]


def test_the_environment_overrides_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLGUARD_KAFKA__BOOTSTRAP_SERVERS", "broker:9092")
    monkeypatch.setenv("TILLGUARD_SCORING__FALLBACK__DECISION", "block")
    monkeypatch.setenv("TILLGUARD_RATES", '{"USD": 0.9}')
    settings = parse({"retailer": "acme", "kafka": {"bootstrap_servers": "file:1", "partitions": 3}}, where="f")
    assert settings.kafka.bootstrap_servers == "broker:9092"
    assert settings.kafka.partitions == 3
    assert settings.scoring.fallback.decision == "block"
    assert settings.rates == {"USD": 0.9}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TILLGUARD_RATES", SECRET, "TILLGUARD_RATES"),
        ("TILLGUARD_KAFKA", SECRET, "TILLGUARD_KAFKA"),
        ("TILLGUARD_CONNECTORS__TOKEN_KEYS", SECRET, "TILLGUARD_CONNECTORS"),
        ("TILLGUARD_KAFKA__PASWORD", SECRET, "kafka.pasword"),
        ("TILLGUARD_KAFAK__SASL_PASSWORD", SECRET, "TILLGUARD_KAFAK__SASL_PASSWORD"),
    ],
)
def test_a_wrong_variable_is_named_and_its_value_is_not(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    assert any(said in fault for fault in faults({"retailer": "acme"}))


def test_variables_that_kubernetes_makes_for_services_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLGUARD_SCORING_SERVICE_HOST", "10.0.0.1")
    assert parse({"retailer": "acme"}, where="f").retailer == "acme"


SECRETIVE = {
    "retailer": "acme",
    "kafka": {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": "scorer",
        "sasl_password": SECRET,
        "ssl_ca_file": "/ca.pem",
        "ssl_cert_file": "/cert.pem",
        "ssl_key_file": "/key.pem",
    },
    "redis": {
        "username": "scorer", "password": SECRET, "tls": True,
        "ssl_ca_file": "/ca.pem", "ssl_cert_file": "/cert.pem", "ssl_key_file": "/key.pem",
    },
    "connectors": {
        "positions_url": f"postgresql://u:{SECRET}@db/positions",
        "token_keys": {"k1": KEY},
        "token_key_id": "k1",
    },
    "trainer": {"registry_url": f"postgresql://u:{SECRET}@db/registry"},
}  # fmt: skip


def test_secrets_appear_in_no_form_in_which_settings_are_printed() -> None:
    settings = parse(SECRETIVE, where="f")
    for text in (
        repr(settings),
        str(settings),
        settings.model_dump_json(),
        json.dumps(settings.model_dump(), default=str),
    ):
        assert SECRET not in text
        assert KEY not in text


def test_a_fault_beside_secrets_repeats_none_of_them() -> None:
    found = faults(SECRETIVE | {"typo": SECRET, "base_currency": SECRET, "log": {"level": SECRET}})
    assert {fault.split(": ")[1] for fault in found} == {"typo", "base_currency", "log.level"}


def test_every_setting_that_holds_a_password_key_or_url_is_a_secret() -> None:
    def walk(model: type[BaseModel], prefix: str = "") -> list[str]:
        found = []
        for name, info in model.model_fields.items():
            if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
                found += walk(info.annotation, f"{prefix}{name}.")
            elif name.endswith(("password", "_url", "token_keys")) and "SecretStr" not in str(info.annotation):
                found.append(prefix + name)
        return found

    assert walk(Settings) == []


def test_kafka_python_gets_tls_and_sasl_in_its_own_words() -> None:
    assert parse(SECRETIVE, where="f").kafka.to_kafka_python() == {
        "bootstrap_servers": ["localhost:9092"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "scorer",
        "sasl_plain_password": SECRET,
        "ssl_cafile": "/ca.pem",
        "ssl_certfile": "/cert.pem",
        "ssl_keyfile": "/key.pem",
    }


def test_librdkafka_gets_tls_and_sasl_in_its_own_words() -> None:
    assert parse(SECRETIVE, where="f").kafka.to_librdkafka() == {
        "bootstrap.servers": "localhost:9092",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "scorer",
        "sasl.password": SECRET,
        "ssl.ca.location": "/ca.pem",
        "ssl.certificate.location": "/cert.pem",
        "ssl.key.location": "/key.pem",
    }


def test_librdkafka_itself_accepts_the_words_for_sasl() -> None:
    confluent_kafka = pytest.importorskip("confluent_kafka")
    kafka = KafkaSettings(
        security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN", sasl_username="u", sasl_password=SecretStr("p")
    )
    confluent_kafka.Producer(kafka.to_librdkafka() | {"bootstrap.servers": ""}).flush(0)


def test_a_plain_cluster_needs_only_its_addresses() -> None:
    kafka = KafkaSettings(bootstrap_servers="a:1,b:2")
    assert kafka.to_kafka_python() == {"bootstrap_servers": ["a:1", "b:2"], "security_protocol": "PLAINTEXT"}
    assert kafka.to_librdkafka() == {"bootstrap.servers": "a:1,b:2", "security.protocol": "PLAINTEXT"}
    for half in ({"sasl_password": SecretStr(SECRET)}, {"sasl_mechanism": "PLAIN"}):
        plain = KafkaSettings.model_validate(half)
        assert not any("sasl" in name for name in (*plain.to_kafka_python(), *plain.to_librdkafka()))


def test_redis_gets_tls_and_credentials_only_where_they_are_set() -> None:
    assert parse(SECRETIVE, where="f").redis.to_redis_py() == {
        "host": "localhost",
        "port": 6379,
        "db": 0,
        "socket_timeout": 1.0,
        "socket_connect_timeout": 1.0,
        "username": "scorer",
        "password": SECRET,
        "ssl": True,
        "ssl_ca_certs": "/ca.pem",
        "ssl_certfile": "/cert.pem",
        "ssl_keyfile": "/key.pem",
    }
    assert set(RedisSettings().to_redis_py()) == {"host", "port", "db", "socket_timeout", "socket_connect_timeout"}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"kafka": {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"}}, "SASL needs"),
        ({"retention": {"first_sight_days": 2}}, "first_sight_days"),
        ({"retention": {"entity_idle_days": 29}}, "entity_idle_days"),
        ({"retention": {"case_days": 2}}, "case_days must be at least transactions_days"),
        ({"scoring": {"breaker": {"per_minute_max": True}}}, "per_minute_max"),
        ({"scoring": {"breaker": {"share_max": True}}}, "a number, or off"),
        ({"retention": {"verdicts_days": 0}}, "retention.verdicts_days"),
        ({"retention": {"verdicts_days": float("inf")}}, "retention.verdicts_days"),
        ({"future_tolerance_s": float("inf")}, "future_tolerance_s"),
        ({"rates": {"USD": float("nan")}}, "rates.USD"),
        ({"rates": {"USD": -1}}, "rates.USD"),
        ({"rates": {"usd": 1}}, "rates.usd"),
        ({"connectors": {"token_key_id": "k9"}}, "token_key_id names a key"),
        ({"connectors": {"token_previous_key_id": "k9"}}, "token_previous_key_id names a key"),
        ({"connectors": {"token_keys": {"k1": "short"}}}, "token_keys k1"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(document: Any, said: str) -> None:
    assert any(said in fault for fault in faults({"retailer": "acme", **document}))


def test_a_time_before_1970_is_refused_since_windows_count_from_there() -> None:
    with pytest.raises(ConfigurationError, match=r"earliest_event_time: .*1970"):
        parse({"retailer": "acme", "earliest_event_time": "1969-12-31T23:59:59Z"}, where="f")


def test_an_earliest_time_without_a_zone_is_meant_in_utc() -> None:
    settings = parse({"retailer": "acme", "earliest_event_time": "2001-01-01"}, where="f")
    assert settings.admission.earliest_event_time == datetime(2001, 1, 1, tzinfo=UTC)


def test_a_zone_that_is_given_is_kept() -> None:
    settings = parse({"retailer": "acme", "earliest_event_time": "2001-01-01T00:00:00+02:00"}, where="f")
    assert settings.earliest_event_time == datetime(2000, 12, 31, 22, tzinfo=UTC)


def test_settings_do_not_change_after_the_start() -> None:
    settings = parse({"retailer": "acme"}, where="f")
    with pytest.raises(ValueError, match="frozen"):
        settings.kafka.partitions = 3  # type: ignore[misc]


def test_paths_are_read_as_paths() -> None:
    assert parse({"retailer": "acme", "scoring": {"rules_file": "r.yaml"}}, where="f").scoring.rules_file == Path(
        "r.yaml"
    )


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"retailer": "Acme!"}, "retailer: must be lower-case letters, digits and dashes"),
        ({"federation": {"name": "Our_federation"}}, "federation.name: must be lower-case letters, digits and dashes"),
        ({"base_currency": "euro"}, "base_currency: must be three capital letters"),
        ({"federation": {"participant": {"coordinator_fingerprint": "12"}}}, "must be a fingerprint: 64 digits"),
    ],
)
def test_what_a_name_must_be_is_said_in_words(document: Any, said: str) -> None:
    (fault,) = faults({"retailer": "acme", **document})
    assert said in fault
    assert "^" not in fault


def test_every_pattern_of_a_setting_has_words() -> None:
    written = json.dumps([kind.model_json_schema() for kind in (Settings, CoordinatorFile)])
    patterns = set(re.findall(r'"(\^.*?)"', written))
    assert patterns
    assert patterns <= set(IN_WORDS)


def test_a_limit_of_the_breaker_is_a_number_or_off() -> None:
    for off in (False, "off", None):
        assert (
            parse({"retailer": "acme", "scoring": {"breaker": {"share_max": off}}}, where="f").scoring.breaker.share_max
            is None
        )
    assert (
        parse({"retailer": "acme", "scoring": {"breaker": {"share_max": 0}}}, where="f").scoring.breaker.share_max == 0
    )
