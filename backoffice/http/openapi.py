"""The OpenAPI document: FastAPI knows the paths and parameters, msgspec the bodies, so no schema is written twice."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from backoffice.http.bodies import KINDS, REF
from backoffice.http.problems import MEDIA_TYPE, TITLES, Problem

ALWAYS = (401, 403, 404, 422)
DESCRIPTION = (
    "The door for checkouts and the desk for people. Answers from 400 on are problems by RFC 9457 that name fields and never values. "
    "What belongs to another retailer does not exist: 404."
)


def build_document(app: FastAPI) -> dict[str, Any]:
    """The document of `app`, made once."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    document = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
    for operations in document["paths"].values():
        for operation in operations.values():
            _complete(operation)
    _, schemas = msgspec.json.schema_components([Problem, *KINDS.values()], ref_template=REF)
    document["components"] = {
        "schemas": dict(sorted(schemas.items())),
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    app.openapi_schema = document
    return document


def _complete(operation: dict[str, Any]) -> None:
    first = operation.pop("x-first", None)
    answers = operation["responses"]
    if first is not None:
        answers[min(answers)] = first
    open_to_all = operation.pop("x-open", False)
    if open_to_all:
        if MEDIA_TYPE not in answers.get("422", {}).get("content", {}):
            answers.pop("422", None)
        return
    operation["security"] = [{"token": []}]
    problem = {MEDIA_TYPE: {"schema": {"$ref": REF.format(name="Problem")}}}
    for status in ALWAYS:
        known = answers.get(str(status), {})
        if MEDIA_TYPE not in known.get("content", {}):
            answers[str(status)] = {"description": TITLES[status], "content": problem}
