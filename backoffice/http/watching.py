"""Around every request: it is counted and timed by its route, never by its path, and a fault of ours is told without its text."""

import time
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backoffice.http.problems import TITLES, Problem, build_response
from contract.metrics import Metrics

HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
"""Of every answer that does not bring its own."""
log = structlog.get_logger()


class Watching:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin_s, status = time.perf_counter(), 0

        async def send_completed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                brought = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(each for each in HEADERS if each[0] not in brought)]
            await send(message)

        try:
            await self._app(scope, receive, send_completed)
        except Exception as error:  # noqa: BLE001 - the last line of defence
            # Without the traceback, which may hold what the request held.
            log.error("request_failed", route=_get_route(scope), error=type(error).__name__)  # noqa: TRY400
            if not status:
                await build_response(Problem(title=TITLES[500], status=500))(scope, receive, send_completed)
        finally:
            route = _get_route(scope)
            self._metrics.add("tillguard_backoffice_requests_total", route=route, status=str(status))
            self._metrics.observe("tillguard_backoffice_request_seconds", time.perf_counter() - begin_s, route=route)


def _get_route(scope: Any) -> str:
    route = scope.get("route")
    return f"{scope['method']} {route.path}" if route is not None else "none"
