"""Bodies in and out: bounded reading, msgspec's encoding, and how both stand in the OpenAPI document."""

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import Request
from fastapi.responses import Response
from msgspec import Struct

from backoffice.http.problems import MEDIA_TYPE, FieldProblem, Problem, ProblemError
from contract.codec import DOCUMENT_BYTES_MAX
from contract.errors import InvariantError

JSON = "application/json"
REF = "#/components/schemas/{name}"
KINDS: dict[str, type[Struct]] = {}
"""Every body that a route was described with, by its name in the document."""
encode = msgspec.json.Encoder().encode


async def read_body(request: Request, bytes_max: int = DOCUMENT_BYTES_MAX) -> bytes:
    """The request's body; raises 413 as soon as it is larger, and 415 where it says that it is no JSON."""
    kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if kind != JSON:
        raise ProblemError(415, f"send {JSON}")
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > bytes_max:
            fault = FieldProblem(pointer="", code="oversized", text=f"more than {bytes_max} bytes")
            raise ProblemError(413, errors=[fault])
        pieces.append(piece)
    return b"".join(pieces)


def answer_json(document: Struct | bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with `document`, or with JSON that is encoded already."""
    content = document if isinstance(document, bytes) else encode(document)
    return Response(content, status_code=status, headers=dict(headers or {}), media_type=JSON)


def describe_route(
    answers: Mapping[int, tuple[type[Struct] | None, str]],
    *,
    body: type[Struct] | None = None,
    problems: Mapping[int, str] | None = None,
    is_open: bool = False,
) -> dict[str, Any]:
    """Arguments of a route for the OpenAPI document.

    Args:
        answers: by status, what the body is and when it comes.
        body: what the request carries.
        problems: by status, when it comes; 401, 403, 404 and 422 come with every route that asks who you are.
        is_open: nobody is asked who they are.
    """
    told = {status: _describe(kind, JSON, text) for status, (kind, text) in answers.items()}
    told |= {status: _describe(Problem, MEDIA_TYPE, text) for status, text in (problems or {}).items()}
    extra: dict[str, Any] = {}
    if body is not None:
        extra = {"requestBody": {"required": True, "content": {JSON: {"schema": _refer_to(body)}}}}
    first = min(answers)
    return {
        "responses": {status: each for status, each in told.items() if status != first},
        "status_code": first,
        "response_description": answers[first][1],
        "openapi_extra": extra | {"x-first": told[first]} | ({"x-open": True} if is_open else {}),
    }


def _describe(kind: type[Struct] | None, media_type: str, text: str) -> dict[str, Any]:
    content = {} if kind is None else {"content": {media_type: {"schema": _refer_to(kind)}}}
    return {"description": text, **content}


def _refer_to(kind: type[Struct]) -> dict[str, str]:
    if KINDS.setdefault(kind.__name__, kind) is not kind:
        raise InvariantError(f"two bodies are called {kind.__name__}")
    return {"$ref": REF.format(name=kind.__name__)}
