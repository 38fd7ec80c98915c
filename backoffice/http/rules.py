"""`/v1/rules`: which rules there are and which serve; checked, published and put in service without a restart."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import Response
from msgspec import Struct
from starlette.concurrency import run_in_threadpool

from backoffice.accounts.permissions import Action
from backoffice.http.asking import Allowed, Asking, get_services
from backoffice.http.bodies import answer_json, describe_route, read_body
from backoffice.http.problems import FieldProblem, ProblemError, describe_invalid
from backoffice.http.services import Services
from contract.codec import Decoder
from contract.errors import ConfigurationError, InvalidEventError
from contract.rules import RulesServing, RulesVersion

NONE_SERVES = "none"
router = APIRouter(prefix="/v1/rules", tags=["rules"])
Served = Annotated[Services, Depends(get_services)]
R = TypeVar("R")


class RulesRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules that are to be checked or published."""

    source: str
    """The YAML."""
    note: str = ""
    """What is different, for people."""


class ServingRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published version that is to serve."""

    version: str
    reason: str


class RulesView(Struct, frozen=True, kw_only=True):
    """What stands on the rules topic."""

    versions: tuple[RulesVersion, ...]
    """The newest first."""
    serving: RulesServing | None
    """Null: workers judge by `scoring.rules_file`, or the rules that ship with Tillguard."""


class RulesCheck(Struct, frozen=True, kw_only=True):
    """What the checks found."""

    faults: list[str]
    """Each with its line; none: the rules can serve."""
    version: str | None
    """What they will be called."""


_rules = Decoder(RulesRequest, bytes_max=1024 * 1024)
_serving = Decoder(ServingRequest)


@router.get("", **describe_route({200: (RulesView, "The ETag is the version that serves")}))
def list_rules(asking: Annotated[Asking, Depends(Allowed(Action.READ_RULES))]) -> Response:
    """Every version on the topic, and which one serves."""
    versions, serving = asking.at.rules.list_versions()
    tag = NONE_SERVES if serving is None else serving.rules_version
    return answer_json(RulesView(versions=versions, serving=serving), headers={"ETag": f'"{tag}"'})


@router.post("/check", **describe_route({200: (RulesCheck, "Also where there are faults")}, body=RulesRequest))
async def check_rules(request: Request, asking: Annotated[Asking, Depends(Allowed(Action.CHECK_RULES))]) -> Response:
    """Checks rules as a worker would, and changes nothing."""
    asked = await _read(request, _rules)
    try:
        version = await run_in_threadpool(asking.at.rules.check, asked.source)
    except ConfigurationError as error:
        return answer_json(RulesCheck(faults=error.faults, version=None))
    return answer_json(RulesCheck(faults=[], version=version))


@router.post("/versions", **describe_route({201: (RulesVersion, "It serves nobody yet")}, body=RulesRequest))
async def publish_rules(
    request: Request, asking: Annotated[Asking, Depends(Allowed(Action.WRITE_RULES))], services: Served
) -> Response:
    """Publishes a version. Equal rules have an equal version, so that publishing again changes nothing."""
    asked = await _read(request, _rules)

    def publish() -> RulesVersion:
        made = asking.at.rules.publish(asked.source, by=asking.principal.name, note=asked.note)
        _record(services, asking, Action.WRITE_RULES, made.rules_version)
        return made

    return answer_json(await _without_faults(publish, "/source"), 201)


@router.put(
    "/serving",
    **describe_route(
        {200: (RulesServing, "Workers use it from their next batch on")},
        body=ServingRequest,
        problems={
            412: "Another version serves than If-Match says",
            428: "If-Match is missing: send the ETag of GET /v1/rules",
        },
    ),
)
async def serve_rules(
    request: Request,
    asking: Annotated[Asking, Depends(Allowed(Action.SERVE_RULES))],
    services: Served,
    if_match: Annotated[str | None, Header(max_length=128)] = None,
) -> Response:
    """Puts a published version in service; no worker is restarted and no transaction waits."""
    asked = await _read(request, _serving)
    if if_match is None:
        raise ProblemError(428, "send the ETag of GET /v1/rules as If-Match")

    def serve() -> RulesServing:
        _, serving = asking.at.rules.list_versions()
        if if_match.strip('"') != (NONE_SERVES if serving is None else serving.rules_version):
            raise ProblemError(412, "another version serves by now: look at it, then decide again")
        served = asking.at.rules.serve(asked.version, by=asking.principal.name, reason=asked.reason)
        _record(services, asking, Action.SERVE_RULES, served.rules_version)
        return served

    return answer_json(await _without_faults(serve, "/version"))


async def _read(request: Request, decoder: Decoder[R]) -> R:
    try:
        return decoder.decode(await read_body(request, 1024 * 1024))
    except InvalidEventError as error:
        raise describe_invalid(error) from None


async def _without_faults(act: Callable[[], R], pointer: str) -> R:
    doing: Awaitable[R] = run_in_threadpool(act)
    try:
        return await doing
    except ConfigurationError as error:
        raise ProblemError(
            422, errors=[FieldProblem(pointer=pointer, code="rules", text=fault) for fault in error.faults]
        ) from None


def _record(services: Services, asking: Asking, action: Action, version: str) -> None:
    services.accounts.trail.record(asking.principal.who, asking.retailer, action, f"rules:{version}")
