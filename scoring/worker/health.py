"""Whether the worker can do its work now, and if not, what to do about it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a check fails and what an operator does about it."""

    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold. `look` returns None when it does; it may block for a second, not more."""

    name: str
    look: Callable[[], Fault | None]


@dataclass(frozen=True, slots=True)
class Readiness:
    """The answer of /ready."""

    ready: bool
    checks: dict[str, Fault | None]
    warnings: dict[str, Fault] = field(default_factory=dict)
    """What does not keep it from working, but should be known."""

    def to_document(self) -> dict[str, Any]:
        """As JSON: which checks fail, why, and the remedy."""
        return {
            "ready": self.ready,
            "checks": {
                name: {"ok": True} if fault is None else {"ok": False, "reason": fault.reason, "remedy": fault.remedy}
                for name, fault in self.checks.items()
            },
            "warnings": {
                name: {"reason": fault.reason, "remedy": fault.remedy} for name, fault in self.warnings.items()
            },
        }


def check_readiness(checks: Sequence[Check], warnings: Mapping[str, Fault] | None = None) -> Readiness:
    """Runs every check, whatever the others say; warnings change nothing."""
    found = {check.name: check.look() for check in checks}
    return Readiness(all(fault is None for fault in found.values()), found, dict(warnings or {}))
