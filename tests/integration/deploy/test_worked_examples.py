"""The connector files that the guide explains, against live servers with the tables that the images make."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymongo
import pymysql
import pytest
import yaml
from typer.testing import CliRunner

from contract.errors import ConfigurationError
from tillguard.cli import app

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.integration
CARD = "4111 1111 1111 1111"
EMAIL = "Ann@Example.com"


def example(retailer: str, source: dict[str, Any], file: Path) -> Path:
    """The deployed connector file of `retailer`, pointed at another server."""
    document = yaml.safe_load((ROOT / "deploy" / "retailers" / retailer / "connectors" / "orders.yaml").read_text())
    document["source"] = {key: value for key, value in (document["source"] | source).items() if value is not None}
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


def check(file: Path, retailer: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TILLGUARD_CONNECTORS__TOKEN_KEYS", '{"k1": "' + "ab" * 32 + '"}')
    monkeypatch.setenv("TILLGUARD_CONNECTORS__TOKEN_KEY_ID", "k1")
    settings = ROOT / "deploy" / "retailers" / retailer / "settings.yaml"
    return CliRunner().invoke(app, ["connector", "check", str(file), "--config", str(settings)], catch_exceptions=False)


@pytest.fixture
def mysql_shop(stack: Any, retailer_name: str) -> Iterator[dict[str, Any]]:
    """The tables of deploy/mysql/init.sh with two orders, a chargeback and a review."""
    server = stack.endpoints["mariadb"]
    database = retailer_name.replace("-", "_")
    connection = pymysql.connect(
        host=server.host, port=server.port, user=server.user, password=server.password, autocommit=True
    )
    script = (ROOT / "deploy" / "mysql" / "init.sh").read_text()
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {database}")
        cursor.execute(f"USE {database}")
        for statement in re.findall(r"^CREATE TABLE .*?^\);", script, re.MULTILINE | re.DOTALL):
            cursor.execute(statement)
        row = "INSERT INTO orders (placed_at, customer_id, amount, currency, card_number, email, ip_address) VALUES "
        cursor.execute(row + "('2026-11-20 10:00:00.123', 7, 59.90, 'EUR', %s, %s, '203.0.113.9')", (CARD, EMAIL))
        cursor.execute(row + "('2026-11-20 10:01:00', 8, 12.50, 'GBP', NULL, NULL, NULL)")
        cursor.execute("INSERT INTO chargebacks (order_id, received_at) VALUES (1, '2026-11-21 09:00:00')")
        cursor.execute(
            "INSERT INTO reviews (order_id, decision, analyst, decided_at) VALUES (2, 'approve', 'kim', '2026-11-20 11:00:00')"
        )
        yield {
            "host": server.host,
            "port": server.port,
            "user": server.user,
            "database": database,
            "password": server.password,
        }
        cursor.execute(f"DROP DATABASE {database}")


def test_the_mysql_example_reads_the_shop_that_the_image_makes(
    mysql_shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEADOW_DATABASE_PASSWORD", mysql_shop.pop("password"))
    done = check(example("meadow", mysql_shop, tmp_path / "orders.yaml"), "meadow", monkeypatch)
    assert done.exit_code == 0, done.output
    assert re.search(r"amount_minor\s+5990", done.output)
    assert re.search(r"card\s+k1\.", done.output)
    assert re.search(r"fraud\s+True", done.output)
    assert re.search(r"outcome\s+approved", done.output)
    assert CARD not in done.output
    assert EMAIL.lower() not in done.output.lower()


def test_the_mysql_example_names_a_column_that_is_gone(
    mysql_shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = mysql_shop.pop("password")
    monkeypatch.setenv("MEADOW_DATABASE_PASSWORD", password)
    server = {key: mysql_shop[key] for key in ("host", "port", "user", "database")}
    with pymysql.connect(**server, password=password) as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE orders DROP COLUMN card_number")
    with pytest.raises(ConfigurationError, match="no column card_number"):
        check(example("meadow", mysql_shop, tmp_path / "orders.yaml"), "meadow", monkeypatch)


def test_the_mongodb_example_reads_documents_as_the_guide_shows_them(
    stack: Any, retailer_name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = stack.endpoints["mongodb"]
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(str(server.uri))
    placed = datetime(2026, 11, 20, 10, tzinfo=UTC)
    try:
        shop = client[retailer_name]
        shop.orders.insert_one(
            {
                "_id": "o-1",
                "placed_at": placed,
                "payment": {"amount_paise": 149_900, "method": "card", "card": {"number": CARD, "country": "IN"}},
                "customer": {"id": "c-7", "email": EMAIL, "created_at": datetime(2020, 1, 1, tzinfo=UTC)},
                "session": {"ip": "203.0.113.9", "device": "d-1", "seconds": 42},
                "delivery": {"address": "1 High Street", "country": "IN"},
                "basket": {"items": 2},
            }
        )
        shop.chargebacks.insert_one({"order_id": "o-1", "received_at": placed})
        shop.reviews.insert_one({"order_id": "o-1", "decision": "reject", "analyst": "kim", "decided_at": placed})
        address = {"host": server.host, "port": server.port, "database": retailer_name, "direct": True}
        nobody = {"user": None, "password_env": None, "replica_set": None}
        done = check(example("harbour", address | nobody, tmp_path / "orders.yaml"), "harbour", monkeypatch)
    finally:
        client.drop_database(retailer_name)
        client.close()
    assert done.exit_code == 0, done.output
    assert re.search(r"transaction_id\s+o-1", done.output)
    assert re.search(r"amount_minor\s+149900", done.output)
    assert re.search(r"currency\s+INR", done.output)
    assert re.search(r"session_s\s+42", done.output)
    assert re.search(r"outcome\s+rejected", done.output)
    assert CARD not in done.output
    assert EMAIL.lower() not in done.output.lower()
