import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def compose_text() -> str:
    return (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def compose(compose_text: str) -> dict[str, Any]:
    """The compose file with every variable of .env.example set to 64 hex digits."""
    filled = re.sub(r"(?<!\$)\$\{([A-Z_]+)[^}]*\}", "0123456789abcdef" * 4, compose_text).replace("$$", "$")
    document: dict[str, Any] = yaml.safe_load(filled)
    return document


@pytest.fixture(scope="session")
def own_services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The services that run Tillguard itself."""
    return {name: service for name, service in compose["services"].items() if service["image"].startswith("tillguard/")}
