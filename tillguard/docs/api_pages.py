"""The reference of the HTTP API: the OpenAPI document, and a page that lists its paths."""

import json
from typing import Any

from tillguard import __version__
from tillguard.docs.markdown import NOTICE, render_table

HEAD = ["Method and path", "Does", "Answers"]


def build_api_files() -> dict[str, str]:
    """Both by their paths below the docs folder."""
    # The other pages do without the web framework, which takes a second to import.
    from backoffice.http.app import build_reference  # noqa: PLC0415

    document = build_reference(version=__version__)
    return {
        "openapi.json": json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n",
        "api.md": _render_page(document),
    }


def _render_page(document: dict[str, Any]) -> str:
    rows = [
        [f"`{method.upper()} {path}`", _get_summary(operation), ", ".join(sorted(operation["responses"]))]
        for path, operations in sorted(document["paths"].items())
        for method, operation in sorted(operations.items())
    ]
    return (
        f"{NOTICE}# HTTP API\n\n"
        "Every path of `tillguard backoffice run`. Bodies, parameters and what each status means stand in [openapi.json](openapi.json), which\n"
        "a running backoffice serves at `/v1/openapi.json`. Guides: [checkout](checkout-http.md), [desk](analyst.md), [roles](roles.md).\n\n"
        + render_table(HEAD, rows)
    )


def _get_summary(operation: dict[str, Any]) -> str:
    text: str = operation.get("description", operation.get("summary", ""))
    return text.partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")
