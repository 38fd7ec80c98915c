"""Settings of what policy decides: answers without the store or the model, holds that nobody resolves, the breaker."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from contract.money import get_exponent
from contract.sections.section import Seconds, Section
from contract.verdicts import DECISIONS, Decision


class FallbackSettings(Section):
    """The answer when the store or the model fails or is late: never an implicit allow."""

    decision: Decision = Field("flag", description="for amounts below hold_from")
    hold_from: float = Field(
        200.0, ge=0, description="amount in base currency, major units, from which the fallback is `hold`"
    )


def _or_off(value: object) -> object:
    """YAML reads `off` as false, an environment variable as text."""
    if value is False or value == "off":
        return None
    if value is True:
        raise ValueError("a number, or off")
    return value


class BreakerSettings(Section):
    """How many holds and blocks there may be; beyond a limit what would be held or blocked is flagged, and an alarm raised."""

    per_minute_max: Annotated[Annotated[int, Field(ge=0, le=100_000)] | None, BeforeValidator(_or_off)] = Field(
        600, description="holds and blocks within any minute at most; `off`: any number"
    )
    share_max: Annotated[Annotated[float, Field(ge=0, le=1)] | None, BeforeValidator(_or_off)] = Field(
        0.2, description="holds and blocks as a share of all transactions at most; `off`: any share"
    )
    share_window_s: float = Field(300.0, ge=10, le=3600, description="wall-clock time over which the share is taken")
    share_min_transactions: int = Field(
        50, ge=1, le=1_000_000, description="transactions in that time before the share counts"
    )


class HoldSettings(Section):
    """What happens to a hold that nobody resolves."""

    expires_after_s: Seconds = Field(900.0, description="wall-clock time from the verdict")
    on_expiry: Literal["allow", "flag", "block"] = Field("block", description="decision of the next revision")


def decide_degraded(amount_base_minor: int, base_currency: str, settings: FallbackSettings) -> Decision:
    """The decision of a degraded verdict, and of an API that got no verdict in time: `hold` from an amount on (if that is more severe), else the configured one."""
    above = amount_base_minor >= settings.hold_from * 10 ** get_exponent(base_currency)
    return max(settings.decision, "hold", key=DECISIONS.index) if above else settings.decision
