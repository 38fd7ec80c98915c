"""Gives a retailer an empty database of its own on the embedded servers."""

import pymysql

from tillguard.embedded.ledger import Endpoint


def database_name(retailer: str) -> str:
    """A name that needs no quoting in SQL."""
    return retailer.replace("-", "_")


def create_database(kind: str, retailer: str, endpoint: Endpoint) -> str:
    """Makes the database if it is not there; returns a sentence that says where it is.

    Args:
        kind: mysql or mongodb (where a database begins to be with its first document).
        retailer: its name, checked before.
        endpoint: the embedded server of that kind.
    """
    name = database_name(retailer)
    if kind == "mysql":
        connection = pymysql.connect(
            host=endpoint.host,
            port=endpoint.port,
            user=endpoint.user,
            password=endpoint.password or "",
            connect_timeout=10,
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{name}`")
    return (
        f"{kind} database {name} on {endpoint.host}:{endpoint.port}"
        f"{f', user {endpoint.user}, password in stack.json' if endpoint.user else ''}: point a connector file at it"
    )
