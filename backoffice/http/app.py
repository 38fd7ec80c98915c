"""The application: its routes, and which problem each error becomes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from backoffice.http import (
    audit,
    cases,
    decisions,
    entities,
    marks,
    pages,
    rules,
    sandbox,
    session,
    system,
    tokens,
    transactions,
    verdicts,
)
from backoffice.http.openapi import build_document
from backoffice.http.problems import TITLES, FieldProblem, Problem, ProblemError, build_response
from backoffice.http.services import Services
from backoffice.http.watching import Watching
from backoffice.projection.cursors import CursorError
from backoffice.refusals import (
    InvalidInputError,
    NotAllowedError,
    NotSignedInError,
    StateConflictError,
    UnknownObjectError,
    WaitRequiredError,
)
from contract.errors import TransientError

RETRY_AFTER_S = "2"
MODULES = (
    transactions,
    verdicts,
    sandbox,
    decisions,
    cases,
    entities,
    marks,
    rules,
    system,
    session,
    tokens,
    audit,
    pages,
)
"""Each has a router."""
REFUSALS: dict[type[Exception], int] = {
    InvalidInputError: 422,
    CursorError: 422,
    UnknownObjectError: 404,
    StateConflictError: 409,
    NotAllowedError: 403,
    NotSignedInError: 401,
    WaitRequiredError: 429,
}
"""The status of each kind of refusal."""
PATHS: dict[str, Any] = {"docs_url": None, "redoc_url": None, "openapi_url": "/v1/openapi.json"}
log = structlog.get_logger()


def build_app(services: Services, *, version: str) -> FastAPI:
    """The application over `services`."""
    app = FastAPI(title="Tillguard", version=version, lifespan=_send_meanwhile, **PATHS)
    app.state.services = services
    _include_routes(app)
    app.openapi = lambda: build_document(app)  # type: ignore[method-assign] # FastAPI's own way to replace it
    app.add_exception_handler(ProblemError, _answer_problem)
    app.add_exception_handler(RequestValidationError, _answer_parameters)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(TransientError, _answer_transient)
    for kind in REFUSALS:
        app.add_exception_handler(kind, _answer_refusal)
    app.add_middleware(Watching, metrics=services.metrics)
    return app


def build_reference(*, version: str) -> dict[str, Any]:
    """The OpenAPI document without any services behind it."""
    app = FastAPI(title="Tillguard", version=version, **PATHS)
    _include_routes(app)
    return build_document(app)


def _include_routes(app: FastAPI) -> None:
    for module in MODULES:
        app.include_router(module.router)


@asynccontextmanager
async def _send_meanwhile(app: FastAPI) -> AsyncIterator[None]:
    """While the application runs, decisions without an answer are sent again."""
    services: Services = app.state.services
    running = [asyncio.create_task(each.outbox.run()) for each in services.retailers.values()]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _answer_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101 - how it was registered
    return build_response(error.problem, error.headers)


async def _answer_parameters(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
    faults = [
        FieldProblem(pointer=f"?{each['loc'][-1]}", code=str(each["type"]), text=str(each["msg"]))
        for each in error.errors()
    ]
    return build_response(Problem(title=TITLES[422], status=422, errors=faults))


async def _answer_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    status = error.status_code if error.status_code in TITLES else 400
    return build_response(Problem(title=TITLES[status], status=status), error.headers)


async def _answer_transient(_request: Request, error: Exception) -> Response:
    detail = "A database or broker does not answer; try again."
    log.warning("request_refused", error=str(error))
    return build_response(Problem(title=TITLES[503], status=503, detail=detail), {"Retry-After": RETRY_AFTER_S})


async def _answer_refusal(_request: Request, error: Exception) -> Response:
    status = REFUSALS[type(error)]
    problem = Problem(title=TITLES[status], status=status)
    match error:
        case InvalidInputError():
            faults = [FieldProblem(pointer=each.pointer, code=each.code, text=each.text) for each in error.fields]
            return build_response(msgspec.structs.replace(problem, errors=faults))
        case CursorError():
            fault = FieldProblem(pointer="?after", code="cursor", text=str(error))
            return build_response(msgspec.structs.replace(problem, errors=[fault]))
        case UnknownObjectError():
            return build_response(problem)  # without words: what belongs to others does not exist
        case WaitRequiredError():
            again = {"Retry-After": str(error.wait_s)}
            return build_response(msgspec.structs.replace(problem, detail=str(error)), again)
    code = error.code if isinstance(error, StateConflictError) else None
    return build_response(msgspec.structs.replace(problem, detail=str(error), code=code))
