"""What every group of settings is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=31_536_000)]
Days = Annotated[float, Field(gt=0, le=36_500)]


class Section(BaseModel):
    """A group of settings; unknown keys are faults, values never change after start."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
