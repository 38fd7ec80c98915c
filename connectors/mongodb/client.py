"""The connection to a MongoDB server."""

from typing import Any

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion

from connectors.config.connector_file import MongodbServer
from connectors.mongodb.faults import translated

SPLITS_FROM = (6, 0, 9)
"""The first version with $changeStreamSplitLargeEvent."""
SPLITS_NOT_IN = ((6, 1), (6, 2), (6, 3))
"""Rapid releases that branched off before it."""


def connect(server: MongodbServer, password: str | None) -> "pymongo.MongoClient[dict[str, Any]]":
    """A client; it connects with the first question."""
    limit = int(server.silent_after_s * 1000)
    options: dict[str, Any] = {
        "serverSelectionTimeoutMS": min(limit, 10_000),
        "connectTimeoutMS": min(limit, 10_000),
        "socketTimeoutMS": limit,
        "directConnection": server.direct or None,
        "replicaSet": server.replica_set,
        "appname": "tillguard",
    }
    if server.user:
        options |= {"username": server.user, "password": password or "", "authSource": server.auth_source}
    if server.tls:
        tls = server.tls
        options |= {"tls": True, "tlsAllowInvalidHostnames": not tls.check_hostname}
        options |= {"tlsCAFile": str(tls.ca_file)} if tls.ca_file else {}
        options |= {"tlsCertificateKeyFile": str(tls.cert_file)} if tls.cert_file else {}
    given = {name: value for name, value in options.items() if value is not None}
    with translated():
        return pymongo.MongoClient(server.host.split(","), server.port, **given)


def get_database(client: "pymongo.MongoClient[dict[str, Any]]", name: str) -> Any:
    """The database, read so that no value of a document can stop the reading of the others."""
    # bytes that are no text stay visible as lone surrogates, times beyond year 9999 as what they are
    options: CodecOptions[dict[str, Any]] = CodecOptions(
        tz_aware=True,
        unicode_decode_error_handler="surrogateescape",
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    )
    return client.get_database(name, codec_options=options)


def can_split_large_events(version: Any) -> bool:
    """Whether a server of this `versionArray` can split change events of more than 16 MB."""
    numbers = tuple(number for number in version or () if isinstance(number, int))
    return numbers[:3] >= SPLITS_FROM and numbers[:2] not in SPLITS_NOT_IN
