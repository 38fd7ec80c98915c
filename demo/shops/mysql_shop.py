"""The retailer on MySQL: one wide table of orders in local time, decimals for money, and a table of chargebacks."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pymysql

from demo.shops.shop import Fault, Row, format_major, quote
from simulator.sales import Labelled, Sale, Truth

ZONE = "Europe/Berlin"
BATCH_ROWS = 1_000
CHANNELS = {"web": "W", "app": "A", "store": "S", "desktop": "D", "mobile": "M", "tablet": "T"}
CHANNEL_VALUES = "{" + ", ".join(f"{code}: {channel}" for channel, code in CHANNELS.items()) + "}"

ORDERS = """\
CREATE TABLE orders (
  order_no VARCHAR(40) NOT NULL PRIMARY KEY,
  placed_at DATETIME(3) NULL,
  total DECIMAL(12,2) NULL,
  currency CHAR(3) NULL,
  customer_no VARCHAR(255) NULL,
  email VARCHAR(120) NULL,
  phone VARCHAR(40) NULL,
  card_number VARCHAR(19) NULL,
  device_fingerprint VARCHAR(64) NULL,
  client_ip VARCHAR(45) NULL,
  ship_street VARCHAR(120) NULL,
  ship_city VARCHAR(80) NULL,
  voucher_code VARCHAR(40) NULL,
  voucher_amount DECIMAL(12,2) NULL,
  till VARCHAR(40) NULL,
  sales_channel CHAR(1) NULL,
  pay_method VARCHAR(20) NULL,
  department VARCHAR(40) NULL,
  bill_country CHAR(2) NULL,
  ship_country CHAR(2) NULL,
  ip_country CHAR(2) NULL,
  card_country CHAR(2) NULL,
  member_since DATETIME NULL,
  items INT NULL,
  checkout_seconds DECIMAL(9,1) NULL,
  KEY by_time (placed_at)
) ENGINE=InnoDB
"""
CHARGEBACKS = """\
CREATE TABLE chargebacks (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  order_no VARCHAR(40) NOT NULL,
  reported_at DATETIME(3) NOT NULL,
  reason VARCHAR(40) NULL
) ENGINE=InnoDB
"""

CONNECTOR = """\
# Reads the orders of this retailer's MySQL database and turns each into a transaction.
# `tillguard connector check FILE --retailer {retailer}` shows ten rows as Tillguard will see them.
name: {name}
source:
  kind: mysql
  host: {host}
  port: {port}
  user: {user}
  password: {password}
  database: {database}
transactions:
  table: orders
  snapshot_order: event_time
  fields:
    transaction_id: order_no
    event_time: {{column: placed_at, time_zone: {zone}}}
    amount: {{column: total, unit: major}}
    currency: currency
    customer: customer_no
    card: {{column: card_number, tokenise: true}}
    device: device_fingerprint
    ip: {{column: client_ip, tokenise: true}}
    email: {{column: email, tokenise: true}}
    phone: {{column: phone, tokenise: true}}
    address: {{columns: [ship_street, ship_city], tokenise: true}}
    coupon: voucher_code
    discount: voucher_amount
    terminal: till
    channel: {{column: sales_channel, values: {channels}, default: other}}
    payment_method: pay_method
    category: department
    country_billing: bill_country
    country_delivery: ship_country
    country_ip: ip_country
    country_card: card_country
    customer_since: {{column: member_since, time_zone: {zone}}}
    basket_items: items
    session_s: checkout_seconds
labels:
  # A row in chargebacks says that the order was fraud; no row says nothing.
  - table: chargebacks
    key: id
    fields:
      transaction_id: order_no
      fraud: {{constant: true}}
      source: {{constant: chargeback}}
      kind: reason
      label_time: {{column: reported_at, time_zone: {zone}}}
"""


def convert_to_local(moment: datetime | None) -> datetime | None:
    """UTC as the shop's clock shows it, without a zone and to the millisecond, as many shops store it."""
    if moment is None:
        return None
    shown = moment.astimezone(ZoneInfo(ZONE)).replace(tzinfo=None)
    return shown.replace(microsecond=shown.microsecond // 1_000 * 1_000)


def build_order(sale: Sale) -> Row:
    """A sale as a row of `orders`."""
    street, _, city = (sale.address or "").partition(", ")
    return {
        "order_no": sale.transaction_id,
        "placed_at": convert_to_local(sale.event_time),
        "total": format_major(sale.amount_minor),
        "currency": sale.currency,
        "customer_no": sale.customer,
        "email": sale.email,
        "phone": sale.phone,
        "card_number": sale.card,
        "device_fingerprint": sale.device,
        "client_ip": sale.ip,
        "ship_street": street or None,
        "ship_city": city or None,
        "voucher_code": sale.coupon,
        "voucher_amount": None if sale.discount_minor is None else format_major(sale.discount_minor),
        "till": sale.terminal,
        "sales_channel": CHANNELS.get(sale.channel or ""),
        "pay_method": sale.payment_method,
        "department": sale.category,
        "bill_country": sale.country_billing,
        "ship_country": sale.country_delivery,
        "ip_country": sale.country_ip,
        "card_country": sale.country_card,
        "member_since": convert_to_local(sale.customer_since),
        "items": sale.basket_items,
        "checkout_seconds": sale.session_s,
    }


def build_chargeback(transaction_id: str, truth: Truth) -> Row:
    """What has become known of a fraud, as a row of `chargebacks`."""
    return {"order_no": transaction_id, "reported_at": convert_to_local(truth.known_at), "reason": truth.kind}


def _later(row: Row, days: int) -> Row:
    return {**row, "placed_at": convert_to_local(datetime.now(UTC) + timedelta(days=days))}


FAULTS = (
    Fault("amount_invalid", "a refund booked as an order: negative total", lambda row: {**row, "total": "-19.99"}),
    Fault("field_missing", "no total", lambda row: {**row, "total": None}),
    Fault("currency_unknown", "a currency without a rate", lambda row: {**row, "currency": "XTS"}),
    Fault("time_future", "a clock that is two days ahead", lambda row: _later(row, 2)),
    Fault("time_too_old", "a clock that was reset", lambda row: {**row, "placed_at": datetime(1998, 1, 1)}),  # noqa: DTZ001 - local time
    Fault("field_invalid", "a customer number that is a whole sentence", lambda row: {**row, "customer_no": "x" * 200}),
)


class MysqlShop:
    """The orders of one retailer in one MySQL or MariaDB server."""

    faults: Sequence[Fault] = FAULTS

    def __init__(self, retailer: str, host: str, port: int, user: str, password: str) -> None:
        """`user` may create databases."""
        self.retailer = retailer
        self.connector = f"{retailer}-orders"
        self._database = f"{retailer.replace('-', '_')}_shop"
        self._address: dict[str, Any] = {"host": host, "port": port, "user": user, "password": password}
        self._connection = pymysql.connect(**self._address, autocommit=False, charset="utf8mb4")

    def create(self) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{self._database}`")
            cursor.execute(f"CREATE DATABASE `{self._database}` CHARACTER SET utf8mb4")
            cursor.execute(f"USE `{self._database}`")
            cursor.execute(ORDERS)
            cursor.execute(CHARGEBACKS)
        self._connection.commit()

    def make_row(self, sale: Sale) -> Row:
        return build_order(sale)

    def load(self, history: Sequence[Labelled]) -> None:
        self._insert("orders", [build_order(entry.sale) for entry in history])
        self.write_labels({entry.sale.transaction_id: entry.truth for entry in history if entry.truth.fraud})

    def write(self, rows: Sequence[Row]) -> None:
        self._insert("orders", rows)

    def write_labels(self, truths: Mapping[str, Truth]) -> None:
        self._insert("chargebacks", [build_chargeback(*known) for known in truths.items()])

    def list_customers_since(self, moment: datetime) -> set[str]:
        query = f"SELECT DISTINCT customer_no FROM `{self._database}`.orders WHERE placed_at >= %s"  # noqa: S608 - the name is ours
        with self._connection.cursor() as cursor:
            cursor.execute(query, (convert_to_local(moment),))
            found = {str(customer) for (customer,) in cursor.fetchall() if customer is not None}
        self._connection.commit()
        return found

    def _insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        with self._connection.cursor() as cursor:
            for start in range(0, len(rows), BATCH_ROWS):
                some = rows[start : start + BATCH_ROWS]
                columns = list(some[0])
                statement = (
                    f"INSERT INTO `{self._database}`.`{table}` (`{'`,`'.join(columns)}`) "  # noqa: S608 - names are ours
                    f"VALUES ({','.join(['%s'] * len(columns))})"
                )
                cursor.executemany(statement, [tuple(row.values()) for row in some])
        self._connection.commit()

    def make_connector_file(self) -> str:
        return CONNECTOR.format(
            retailer=self.retailer,
            name=self.connector,
            host=self._address["host"],
            port=self._address["port"],
            user=quote(self._address["user"]),
            password=quote(self._address["password"]),
            database=self._database,
            zone=ZONE,
            channels=CHANNEL_VALUES,
        )

    def close(self) -> None:
        self._connection.close()
