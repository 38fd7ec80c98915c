"""The Lua scripts as Redis gets them: their text with the constants of contract.windows in it."""

import hashlib
import re
from importlib import resources

from contract import risk
from contract.windows import DISTINCT_WINDOWS, EXACT_WINDOWS, TILED_WINDOWS
from scoring.decision.breaker import ALARMS_MAX, CLOSES_AFTER_MS, MINUTE_MS

_ON_THE_BREAKER = frozenset({"open_case", "breaker_look", "breaker_passed"})
"""Scripts that stand on scoring/store/lua/breaker.lua."""
_BREAKER_CONSTANTS = {"MINUTE": MINUTE_MS, "CLOSES_AFTER": CLOSES_AFTER_MS, "ALARMS_MAX": ALARMS_MAX}


def _constants() -> dict[str, int]:
    """Numbers of the contract by their name in the script, which is written for exactly this many windows."""
    if (len(EXACT_WINDOWS), len(TILED_WINDOWS), len(DISTINCT_WINDOWS)) != (4, 2, 3):
        raise AssertionError("windows.lua is written for 4 exact, 2 tiled and 3 distinct windows")
    if (len(risk.RISK_WINDOWS), len(risk.UNUSUAL_WINDOWS)) != (3, 4) or TILED_WINDOWS[0].tile_ms != risk.TILE_MS:
        raise AssertionError(
            "windows.lua is written for 3 windows of risk in the windows' tiles, and 4 of unusual amounts"
        )
    constants = {f"WINDOW_{i}": window.length_ms for i, window in enumerate(EXACT_WINDOWS, 1)}
    for letter, window in zip("AB", TILED_WINDOWS, strict=True):
        constants |= {f"TILE_{letter}": window.tile_ms, f"TILES_{letter}": window.tiles}
    constants |= {f"DISTINCT_{i}": window.length_ms for i, window in enumerate(DISTINCT_WINDOWS, 1)}
    constants |= {f"RISK_{i}": window.tiles for i, window in enumerate(risk.RISK_WINDOWS, 1)}
    constants |= {f"UNUSUAL_{i}": window.length_ms for i, window in enumerate(risk.UNUSUAL_WINDOWS, 1)}
    return constants | {
        "TILE": risk.TILE_MS,
        "TILES_PER_DAY": risk.TILES_PER_DAY,
        "USUAL_MIN": risk.USUAL_MIN,
        "UNUSUAL_TWICE": int(2 * risk.UNUSUAL_RATIO),
        "EXCESS_MAX": risk.EXCESS_MAX,
        "MAX_UNUSUAL": risk.MAX_UNUSUAL,
    }


def load_script(name: str) -> str:
    """The text of `scoring/<name>.lua`, ready to load: constants are written in as numbers, which Lua reads fastest."""
    text = _text(name)
    if name in _ON_THE_BREAKER:
        text, constants = _text("breaker") + text, _BREAKER_CONSTANTS
    elif name == "windows":
        constants = _constants()
    else:
        return text
    return re.sub(rf"\b({'|'.join(constants)})\b", lambda match: str(constants[match[0]]), text)


def _text(name: str) -> str:
    return resources.files("scoring.store").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


def compute_sha1(text: str) -> bytes:
    """The name by which EVALSHA calls a script."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().encode()
