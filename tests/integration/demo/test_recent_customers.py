"""Both shops know who bought lately, so that sales by hand come from others."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from demo.shops.mongo_shop import MongoShop
from demo.shops.mysql_shop import MysqlShop
from demo.shops.shop import Shop
from simulator.profile import Profile
from simulator.retail import HistoryPlan, Retail

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # half an hour before summer time begins in the MySQL shop's zone


@pytest.mark.parametrize("kind", ["mysql", "mongodb"])
def test_the_customers_since_a_moment_are_those_whose_sales_are_not_older(stack: Any, kind: str) -> None:
    mysql, mongo = stack.endpoints["mariadb"], stack.endpoints["mongodb"]
    name = f"recent-{secrets.token_hex(4)}"
    shop: Shop = (
        MysqlShop(name, mysql.host, mysql.port, mysql.user, mysql.password)
        if kind == "mysql"
        else MongoShop(name, mongo.host, mongo.port)
    )
    history = Retail(Profile(customers=300), 5, NOW - timedelta(days=28), "A-").simulate_history(
        NOW, HistoryPlan(rows=1_200)
    )
    moment = history[-200].sale.event_time + timedelta(milliseconds=1)
    try:
        shop.create()
        assert shop.list_customers_since(moment) == set()
        shop.load(history)
        assert shop.list_customers_since(moment) == {
            entry.sale.customer for entry in history if entry.sale.event_time >= moment and entry.sale.customer
        }
    finally:
        shop.close()
