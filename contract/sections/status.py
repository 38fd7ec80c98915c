"""Settings of what a process says of itself."""

from pydantic import Field

from contract.sections.section import Seconds, Section


class StatusSettings(Section):
    """Every process tells on the status topic that it runs, and how it is."""

    every_s: Seconds = Field(
        5.0, description="how often; a process that is silent for four times as long is shown as gone"
    )
