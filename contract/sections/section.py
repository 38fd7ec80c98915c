"""What every group of settings is made of, and how its faults are worded."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import ErrorDetails

Seconds = Annotated[float, Field(gt=0, le=31_536_000)]
Days = Annotated[float, Field(gt=0, le=36_500)]
NAME = r"^[a-z][a-z0-9-]{0,47}$"
LONG_NAME = r"^[a-z][a-z0-9-]{0,63}$"
CURRENCY = r"^[A-Z]{3}$"
FINGERPRINT = r"^[0-9a-f]{64}$"
IN_WORDS = {
    NAME: "must be lower-case letters, digits and dashes, at most 48, the first a letter",
    LONG_NAME: "must be lower-case letters, digits and dashes, at most 64, the first a letter",
    CURRENCY: "must be three capital letters, such as EUR",
    FINGERPRINT: "must be a fingerprint: 64 digits from 0 to 9 and a to f, as `tillguard federation init` and `enrol` print them",
}
"""What each pattern of a setting asks for."""


class Section(BaseModel):
    """A group of settings; unknown keys are faults, values never change after start."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def describe_fault(fault: ErrorDetails) -> str:
    """A fault that pydantic found, in words; a pattern is no help to whoever must correct a name."""
    if fault["type"] == "string_pattern_mismatch":
        return IN_WORDS.get(fault["ctx"]["pattern"], fault["msg"])
    return fault["msg"].removeprefix("Value error, ")
