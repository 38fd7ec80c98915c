from typing import Any

import pytest


@pytest.fixture
def transaction_document() -> dict[str, Any]:
    """A whole transaction as it would stand on the topic; a test changes what it is about."""
    return {
        "transaction_id": "t-1",
        "retailer": "acme",
        "event_time": "2026-11-01T10:00:00Z",
        "ingest_time": "2026-11-01T10:00:01Z",
        "amount_minor": 1999,
        "currency": "EUR",
        "origin": {"connector": "orders", "phase": "stream", "source": "shop.orders", "position": "bin.1:4"},
        "customer": "c-1",
    }
