"""Parameters and bodies that several routes read alike."""

from datetime import datetime
from typing import Annotated, TypeVar

from fastapi import Query
from msgspec import Struct

from backoffice.http.problems import describe_invalid
from backoffice.refusals import FieldFault, InvalidInputError
from contract.codec import Decoder
from contract.errors import InvalidEventError

Moment = Annotated[datetime | None, Query(description="A time with its zone, as 2026-05-01T12:00:00Z")]
Asked = TypeVar("Asked", bound=Struct)


def read_asked(kind: type[Asked], body: bytes) -> Asked:
    """A request's body; raises ProblemError, which names the field and never its value."""
    try:
        return Decoder(kind).decode(body)
    except InvalidEventError as error:
        raise describe_invalid(error) from None


def check_moment(pointer: str, moment: datetime | None) -> datetime | None:
    """The same moment; raises InvalidInputError where its zone is missing."""
    if moment is not None and moment.tzinfo is None:
        raise InvalidInputError([FieldFault(pointer, "time_zone", "without a time zone")])
    return moment
