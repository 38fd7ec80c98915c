"""What a retailer's state covers, and what a model that serves on it does not find. Pure; times are event times, ms since 1970 UTC.

A model learned from whole windows and from frauds that were known. State that began yesterday gives it other numbers: the score
is valid, but it says less than the model's figures promise.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from contract.clock import from_epoch_ms
from contract.models import Manifest
from contract.risk import RISK_WINDOWS
from contract.windows import DAY_MS, TILED_WINDOWS

GapKind = Literal["risk", "windows"]
WINDOW_MS = max(window.length_ms for window in TILED_WINDOWS)
"""The longest window that a feature looks back over."""


class Coverage(NamedTuple):
    """What was applied to a retailer's live state; None: nothing."""

    windows_from_ms: int | None = None
    """Of the earliest transaction."""
    frauds_from_ms: int | None = None
    """Of the earliest transaction that became known as fraud."""
    frauds_to_ms: int | None = None
    """Of the latest one."""


class Gap(NamedTuple):
    """What is missing, for a person to read."""

    kind: GapKind
    text: str
    remedy: str


def compute_risk_horizon_ms(label_delay_days: float) -> int:
    """How far back a fraud still counts: the longest window of a risk, behind the label delay."""
    return RISK_WINDOWS[-1].length_ms + int(label_delay_days * DAY_MS)


def needs_risk(manifest: Manifest) -> bool:
    """Whether the model learned from risk that differed between transactions. A manifest that does not say so may have."""
    return manifest.risk is not False


def find_gaps(coverage: Coverage, at_ms: int, *, risk: bool, label_delay_days: float) -> tuple[GapKind, ...]:
    """What a transaction of `at_ms` does not find.

    Args:
        coverage: what the state holds.
        at_ms: the transaction's event time.
        risk: whether its model learned from risk.
        label_delay_days: the retailer's.
    """
    found: list[GapKind] = []
    if risk and (
        coverage.frauds_to_ms is None or coverage.frauds_to_ms <= at_ms - compute_risk_horizon_ms(label_delay_days)
    ):
        found.append("risk")
    begin = coverage.windows_from_ms
    if begin is None or begin > at_ms - WINDOW_MS:
        found.append("windows")
    return tuple(found)


def describe_gaps(coverage: Coverage, kinds: Sequence[GapKind], *, retailer: str, label_delay_days: float) -> list[Gap]:
    """`kinds`, as `find_gaps` gave them, in words."""
    return [
        _risk_gap(coverage, retailer, label_delay_days) if kind == "risk" else _windows_gap(coverage, retailer)
        for kind in kinds
    ]


def _risk_gap(coverage: Coverage, retailer: str, label_delay_days: float) -> Gap:
    days = compute_risk_horizon_ms(label_delay_days) / DAY_MS
    newest = coverage.frauds_to_ms
    known = (
        "no fraud became known to the workers yet"
        if newest is None
        else f"the newest fraud that the workers know of is of {_day(newest)}, and they look back {days:g} days"
    )
    return Gap(
        "risk",
        f"risk is not seeded: the model learned from earlier frauds of tills, devices, cards and others, and {known}",
        f"run `tillguard trainer run --retailer {retailer}`, which tells the workers what labels say; `tillguard train` does it once",
    )


def _windows_gap(coverage: Coverage, retailer: str) -> Gap:
    days, begin = WINDOW_MS // DAY_MS, coverage.windows_from_ms
    remedy = f"fill them from a file: `tillguard history load --retailer {retailer}`; or wait: scores are valid, they know less"
    if begin is None:
        return Gap("windows", "windows are empty: no transaction was taken in yet", remedy)
    return Gap(
        "windows",
        f"windows begin on {_day(begin)}: features over up to {days} days are incomplete until {_day(begin + WINDOW_MS)}",
        remedy,
    )


def _day(ms: int) -> str:
    return f"{from_epoch_ms(ms):%Y-%m-%d}"
