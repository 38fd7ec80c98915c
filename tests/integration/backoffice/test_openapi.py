"""Requests that nobody would write, made from the OpenAPI document, to a backoffice over real servers: none is answered by a fault of ours."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from backoffice.accounts.permissions import Role, Scope
from support.live_backoffice import LiveBackoffice
from support.live_worker import Shop

pytestmark = [pytest.mark.integration, pytest.mark.timeout(280)]
WAIT_MS_MAX = 20
EXAMPLES = 6
"""Of each operation in a run; each run draws others."""


@pytest.fixture
def office(retailer: Any, tmp_path: Path) -> Iterator[LiveBackoffice]:
    shop = Shop(retailer, tmp_path)
    with LiveBackoffice(shop.folder, shop.settings) as office:
        yield office


def shorten(case: Any) -> None:
    """Nobody waits in a test for what does not come."""
    for name in ("wait_ms", "budget_ms"):
        value = (case.query or {}).get(name)
        if isinstance(value, int) and value > WAIT_MS_MAX:
            case.query[name] = WAIT_MS_MAX


def test_no_request_is_answered_by_a_fault_of_ours(retailer: Any, office: LiveBackoffice) -> None:
    schema = schemathesis.openapi.from_dict(httpx.get(f"{office.url}/v1/openapi.json").json())
    schema.config.base_url = office.url
    everything: list[Role | Scope] = [*Role, *Scope]
    tokens = {
        True: office.tokens.make(retailer.name, Scope.SCORE, sandbox=True),
        False: office.tokens.make(retailer.name, *everything),
    }
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) > 30
    headers = {"Origin": office.url, "X-Tillguard": "1"}
    faults = []
    for operation in operations:
        token = tokens["/sandbox/" in operation.path]
        try:
            ask_anything(operation, headers | {"Authorization": f"Bearer {token}"})
        except FailureGroup as found:
            faults += [f"{operation.label}: {each}" for each in found.exceptions]
    assert faults == []


def ask_anything(operation: Any, headers: dict[str, str]) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        shorten(case)
        answer = case.call(headers=headers, timeout=60)
        case.validate_response(
            answer, checks=[not_a_server_error, response_schema_conformance, status_code_conformance]
        )

    ask()
