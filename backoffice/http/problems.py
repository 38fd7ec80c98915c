"""Problems by RFC 9457: what went wrong, in words that say what to do, naming fields and never their values."""

from collections.abc import Mapping, Sequence

import msgspec
from fastapi.responses import Response
from msgspec import Struct

from contract.errors import InvalidEventError

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "The request is not one",
    401: "Sign in, or send a valid token",
    403: "Not allowed",
    404: "Not found",
    405: "This path takes another method",
    409: "Not as it stands",
    410: "Erased",
    412: "Changed meanwhile",
    413: "Too large",
    415: "Another content type is needed",
    422: "Something in the request cannot be used",
    428: "Say which version you have seen",
    429: "Too many requests",
    500: "A fault of ours",
    503: "Not now",
}


class FieldProblem(Struct, frozen=True, kw_only=True):
    """One field that cannot be used."""

    pointer: str
    """JSON pointer into the body (`/card`), or `?name` for a parameter; empty for the body as a whole."""
    code: str
    text: str


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every answer from 400 on."""

    title: str
    status: int
    type: str = "about:blank"
    detail: str | None = None
    code: str | None = None
    """For programs: what kind of problem, within the status."""
    errors: list[FieldProblem] = []


class ProblemError(Exception):
    """Raised by a route: becomes an answer with a Problem. No operator meets it."""

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        *,
        code: str | None = None,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or TITLES[status])
        self.problem = Problem(title=TITLES[status], status=status, detail=detail, code=code, errors=list(errors))
        self.headers = dict(headers or {})


def build_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that carries `problem`."""
    return Response(
        msgspec.json.encode(problem), status_code=problem.status, headers=dict(headers or {}), media_type=MEDIA_TYPE
    )


def describe_invalid(error: InvalidEventError) -> ProblemError:
    """What a body's fault is, with the field's place in the body."""
    pointer = "" if error.field is None else "/" + error.field.replace("[...]", "/-").replace(".", "/")
    fault = FieldProblem(pointer=pointer, code=error.reason, text=error.detail)
    return ProblemError(413 if error.reason == "oversized" else 422, errors=[fault])
