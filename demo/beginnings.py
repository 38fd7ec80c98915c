"""Gives each demonstration retailer a fresh start: settings, topics, database, connector file and labelled history."""

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree

import redis
from kafka import KafkaAdminClient

from connectors.assembly import build_mapper
from connectors.config.connector_file import parse
from connectors.ports import Row as SourceRow
from contract.codec import encode
from contract.events import Transaction
from contract.settings import Settings
from contract.topics import TOPICS
from demo.children import DemoError
from demo.shops.mongo_shop import MongoShop
from demo.shops.mysql_shop import MysqlShop
from demo.shops.shop import Shop
from embedded import retailers
from embedded.ledger import Endpoint
from runtime.state_folder import find_retailer_folder
from simulator.sales import Labelled

MYSQL_RETAILER, MONGO_RETAILER = "alder", "birch"
DATABASES = {MYSQL_RETAILER: "MySQL (MariaDB server)", MONGO_RETAILER: "MongoDB"}
PREFIXES = ("A-", "B-")
"""Of transaction ids, by retailer."""
CURRENCY = "EUR"
DELETE_TIMEOUT_S = 30.0
REDIS_KEYS = 2_000


SERVERS = {MYSQL_RETAILER: "mariadb", MONGO_RETAILER: "mongodb"}
"""Which server of the stack holds whose database."""


def connect_shops(endpoints: Mapping[str, Endpoint]) -> tuple[Shop, Shop]:
    """The two databases, connected."""
    return connect_shop(MYSQL_RETAILER, endpoints), connect_shop(MONGO_RETAILER, endpoints)


def connect_shop(retailer: str, endpoints: Mapping[str, Endpoint]) -> Shop:
    """The database of one of the two, connected; asks for no other server than its own."""
    server = endpoints[SERVERS[retailer]]
    if retailer == MYSQL_RETAILER:
        return MysqlShop(retailer, server.host, server.port, server.user or "", server.password or "")
    return MongoShop(retailer, server.host, server.port)


def get_connector_path(shop: Shop) -> Path:
    """Where the shop's connector file stands."""
    return find_retailer_folder(shop.retailer) / "connectors" / f"{shop.connector}.yaml"


def get_history_path(retailer: str) -> Path:
    """Where the labelled history for training stands."""
    return find_retailer_folder(retailer) / "history.jsonl"


def begin(names: Sequence[str], endpoints: Mapping[str, Endpoint]) -> list[Settings]:
    """New settings and empty topics for `names`; whatever an earlier demonstration left of them is removed.

    Only retailers of these names are touched.
    """
    for name in names:
        rmtree(find_retailer_folder(name), ignore_errors=True)
        _forget_state(name, endpoints["redis"])
    delete_topics({topic.name(name) for topic in TOPICS for name in names}, endpoints["kafka"])
    return [retailers.create(name, CURRENCY, find_retailer_folder(name), endpoints)[0] for name in names]


def _forget_state(retailer: str, endpoint: Endpoint) -> None:
    """Deletes the retailer's keys, which all begin with its name in braces."""
    with redis.Redis.from_url(endpoint.uri) as client:
        keys: list[bytes] = []
        for key in client.scan_iter(match=f"{{{retailer}}}*", count=REDIS_KEYS):
            keys.append(key)
            if len(keys) == REDIS_KEYS:
                client.unlink(*keys)
                keys.clear()
        if keys:
            client.unlink(*keys)


def delete_topics(wanted: Collection[str], endpoint: Endpoint) -> None:
    """Deletes the topics and waits until they are gone; their consumer groups' offsets go with them."""
    client = KafkaAdminClient(bootstrap_servers=[endpoint.uri])
    try:
        present = set(wanted) & set(client.list_topics())
        if present:
            client.delete_topics(sorted(present))
        deadline_s = time.monotonic() + DELETE_TIMEOUT_S
        while present & set(client.list_topics()):
            if time.monotonic() > deadline_s:
                raise DemoError(f"Kafka has not deleted {', '.join(sorted(present))} within {DELETE_TIMEOUT_S:.0f} s")
            time.sleep(0.1)
    finally:
        client.close()


def fill(shop: Shop, history: Sequence[Labelled], settings: Settings, known_by: datetime | None) -> int:
    """The shop's database, connector file and history file; returns how many frauds are labelled in the database.

    The history file holds what the connector would send: the same mapping, the same tokens, and the label alongside. With `known_by`
    both hold only what had become known by then.
    """
    text = shop.make_connector_file()
    file = get_connector_path(shop)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")
    shop.create()
    shop.load([one if is_known(one, known_by) else _without_label(one) for one in history])
    _write_history(shop, text, history, settings, known_by)
    return sum(one.truth.fraud and is_known(one, known_by) for one in history)


def is_known(one: Labelled, known_by: datetime | None) -> bool:
    """Whether the sale's truth had become known by then; None: it does not matter when."""
    return known_by is None or one.truth.known_at <= known_by


def _without_label(one: Labelled) -> Labelled:
    return one._replace(truth=one.truth._replace(fraud=False))


def _write_history(
    shop: Shop, connector: str, history: Sequence[Labelled], settings: Settings, known_by: datetime | None
) -> None:
    config = parse(connector, str(get_connector_path(shop)))
    mapper = build_mapper(config, settings)
    now = datetime.now(UTC)
    with get_history_path(shop.retailer).open("wb") as output:
        for number, entry in enumerate(history):
            row = SourceRow(config.transactions.name, "read", shop.make_row(entry.sale), f"row {number}", "replay")
            for outcome in mapper.map_row(row, now):
                if isinstance(outcome, Transaction):
                    fraud = (b"true" if entry.truth.fraud else b"false") if is_known(entry, known_by) else b"null"
                    output.write(encode(outcome)[:-1] + b',"fraud":' + fraud + b"}\n")
