"""The backoffice of one process over real servers, on a thread of a test: its door, and a client with a token."""

import secrets
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import httpx
import uvicorn

from backoffice.accounts.permissions import Role, Scope
from backoffice.accounts.principal import Grant, Principal
from backoffice.http.app import build_app
from contract.clock import SystemClock
from contract.metrics import Metrics
from contract.sections.backoffice import BackofficeSettings
from contract.settings import Settings
from support.live_worker import until
from tillguard.backoffice.root import build_services, open_listener


class FixedTokens:
    """Tokens that are there from the start: a TokenFinder in memory."""

    def __init__(self) -> None:
        self._known: dict[str, Principal] = {}

    def make(self, retailer: str, *scopes: Scope | Role, sandbox: bool = False, name: str = "checkout") -> str:
        """A new token with these scopes or a person's roles, or one of the sandbox."""
        token = f"tg_{retailer}_{secrets.token_hex(32)}"
        grants = frozenset(Grant(retailer, scope) for scope in scopes)
        self._known[token] = Principal("token", f"t{len(self._known)}", name, grants, sandbox=sandbox)
        return token

    def find_remembered(self, text: str) -> Principal | None:
        return self._known.get(text)

    def authenticate(self, text: str) -> Principal | None:
        return self._known.get(text)


class LiveBackoffice:
    """A context manager that leaves nothing running."""

    def __init__(self, folder: Path, *retailers: Settings, awaits_doors: bool = True) -> None:
        self._folder = folder
        self._awaits_doors = awaits_doors
        self._settings = retailers
        self._stack = ExitStack()
        self.tokens = FixedTokens()
        self.metrics = Metrics()

    def __enter__(self) -> Self:
        clock = SystemClock()
        listening = self._stack.enter_context(open_listener("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        urls = {"database_url": f"sqlite:///{self._folder}/b.db", "read_model_url": f"sqlite:///{self._folder}/r.db"}
        services = build_services(
            BackofficeSettings.model_validate(urls),
            {each.retailer: each for each in self._settings},
            self._stack,
            clock=clock,
            metrics=self.metrics,
            public_url=self.url,
        )
        self.accounts = services.accounts
        self.trail = services.accounts.trail
        services = replace(services, tokens=self.tokens)
        app = build_app(services, version="test")
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()
        until(lambda: self._server.started, "a server that listens")
        if self._awaits_doors:
            until(lambda: httpx.get(f"{self.url}/ready").status_code == 200, "open doors")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._stack.close()

    def client(self, retailer: str, *scopes: Scope | Role, name: str = "checkout", **options: Any) -> httpx.Client:
        """Speaks with a token of `retailer`."""
        headers = {"Authorization": f"Bearer {self.tokens.make(retailer, *scopes, name=name)}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60.0, **options)
