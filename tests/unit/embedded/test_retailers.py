from pathlib import Path

import pytest
import yaml

from contract.errors import ConfigurationError
from contract.settings import parse
from contract.topics import CONTROL, FEATURES, MODELS, TOPICS, TRANSACTIONS
from embedded import retailers
from embedded.ledger import Endpoint
from runtime.kafka import topics

ENDPOINTS = {
    "kafka": Endpoint("127.0.0.1", 19092, "127.0.0.1:19092"),
    "redis": Endpoint("127.0.0.1", 16379, "redis://", password="p: #'\"x"),
}
TOKENS = {"token_keys": {"k1": "a" * 64}, "token_key_id": "k1"}


def rendered(retailer: str = "corner-shop", folder: Path = Path("/var/lib/a folder: with #")) -> str:
    return retailers.render(retailer, "EUR", folder, ENDPOINTS, TOKENS)


def test_the_written_settings_are_valid_whatever_the_password_and_the_folder() -> None:
    settings = parse(yaml.safe_load(rendered()), where="test")
    assert settings.retailer == "corner-shop"
    assert settings.redis.password is not None
    assert settings.redis.password.get_secret_value() == ENDPOINTS["redis"].password
    assert settings.connectors.positions_url.get_secret_value() == "sqlite:////var/lib/a folder: with #/positions.db"


def test_every_retailer_has_keys_of_its_own_for_a_federation() -> None:
    own = parse(yaml.safe_load(rendered()), where="test").federation
    assert own.participant.key_file == Path("/var/lib/a folder: with #/participant.key")
    assert own.participant.store_url.get_secret_value() == "sqlite:////var/lib/a folder: with #/participant.db"
    assert own.bootstrap_servers == "127.0.0.1:19092"


@pytest.mark.parametrize("name", ["yes", "null", "on", "e1"])
def test_a_name_that_yaml_would_take_for_something_else_stays_a_name(name: str) -> None:
    assert parse(yaml.safe_load(rendered(name)), where="test").retailer == name


@pytest.mark.parametrize("name", ["", "Shop", "1shop", "a b", "a: b", "x" * 60])
def test_a_bad_name_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        retailers.create(name, "EUR", tmp_path / "retailers" / "x", ENDPOINTS)
    assert list(tmp_path.iterdir()) == []


def test_without_a_stack_the_message_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="tillguard up"):
        retailers.create("shop", "EUR", tmp_path, {})


def test_topics_are_configured_as_the_contract_and_the_retention_say() -> None:
    settings = parse({"retailer": "shop", "retention": {"features_days": 0.5}}, where="test")
    transactions = topics.build_configuration(TRANSACTIONS, settings)
    assert (transactions["cleanup.policy"], transactions["retention.ms"]) == ("compact,delete", str(3 * 86_400_000))
    assert topics.build_configuration(FEATURES, settings)["retention.ms"] == "43200000"
    assert topics.build_configuration(MODELS, settings)["cleanup.policy"] == "compact"
    assert topics.build_configuration(MODELS, settings)["retention.ms"] == "-1"
    assert topics.build_configuration(CONTROL, settings)["cleanup.policy"] == "delete"
    assert all(
        topics.build_configuration(topic, settings)["message.timestamp.type"] == "LogAppendTime" for topic in TOPICS
    )


def test_scaled_topics_take_the_partitions_of_the_settings_and_others_one() -> None:
    settings = parse({"retailer": "shop", "kafka": {"partitions": 7}}, where="test")
    assert topics.count_partitions(TRANSACTIONS, settings) == 7
    assert topics.count_partitions(MODELS, settings) == 1


@pytest.mark.parametrize(("copies", "in_sync"), [(1, "1"), (2, "1"), (3, "2")])
def test_a_write_waits_for_a_second_copy_where_there_are_three(copies: int, in_sync: str) -> None:
    settings = parse({"retailer": "shop", "kafka": {"replication_factor": copies}}, where="test")
    assert topics.build_configuration(TRANSACTIONS, settings)["min.insync.replicas"] == in_sync
