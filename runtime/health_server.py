"""`/health` and `/metrics` of a connector, on a thread of its own."""

import json
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from contract.errors import ConfigurationError
from contract.metrics import Metrics

_LOG = structlog.get_logger()
STOP_CHECKED_EVERY_S = 0.1
"""So long an end waits for the thread at most."""


class WebPage:
    """Serves until closed. A context manager."""

    def __init__(self, host: str, port: int, *, metrics: Metrics, ailments: Callable[[], list[str]]) -> None:
        """Listens at once; raises ConfigurationError where that cannot be.

        Args:
            host: Address to listen on.
            port: 0 takes a free one; `port` then says which.
            metrics: What /metrics shows.
            ailments: What is wrong now; asked at each request, from the page's thread.
        """
        try:
            self._server = _Server((host, port), _handler(metrics, ailments))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or "no such address"
            raise ConfigurationError([f"--web-host, --web-port: cannot listen at {host}:{port} ({reason})"]) from None
        self.port = int(self._server.server_address[1])
        self._thread = Thread(
            target=self._server.serve_forever, args=(STOP_CHECKED_EVERY_S,), name="connector-web", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    """Threads that end with the process, and that print nothing when a visitor goes away."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the library's form
        error = sys.exception()
        _LOG.debug("web_page_failed", error=type(error).__name__)


def _handler(metrics: Metrics, ailments: Callable[[], list[str]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Two pages; everything else is not found."""

        timeout = 10

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/health":
                found = ailments()
                body = json.dumps({"healthy": not found, "reasons": found}).encode()
                self._answer(503 if found else 200, "application/json", body)
            elif path == "/metrics":
                ailments()
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(metrics.registry))
            else:
                self._answer(404, "text/plain", b"/health or /metrics\n")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Requests are not worth a line each."""

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
