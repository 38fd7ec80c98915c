"""The words of contract/risk.py in plain Python, as tests/support/reference.py is of contract/windows.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from contract.risk import (
    EXCESS_MAX,
    MAX_UNUSUAL,
    RISK_WINDOWS,
    TILE_MS,
    TILES_PER_DAY,
    UNUSUAL_RATIO,
    UNUSUAL_WINDOWS,
    USUAL_MIN,
    count_horizon_tiles,
)
from contract.windows import DAY_MS, TILED_WINDOWS
from scoring.ports import WindowUpdate

MISSING = float("nan")
_SIX_HOURS, _DAYS = TILED_WINDOWS


@dataclass(slots=True)
class Risk:
    """Of one entity."""

    label_delay_days: float
    newest: int | None = None
    """N; None: counting has not begun."""
    seen: dict[int, int] = field(default_factory=dict)
    frauds: dict[int, int] = field(default_factory=dict)
    plain: dict[int, int] = field(default_factory=dict)

    @property
    def begun(self) -> bool:
        """Whether a fraud is known."""
        return any(self.frauds.values())

    def learn(self, t: int, known: str, outcome: str) -> None:
        """An outcome instead of the one known before."""
        tile = t // TILE_MS
        if self.newest is not None and tile <= self.newest - count_horizon_tiles(self.label_delay_days):
            return
        fraud = (outcome != "genuine") - (known != "genuine")
        plain = (outcome == "plain") - (known == "plain")
        self.frauds[tile] = max(0, self.frauds.get(tile, 0) + fraud)
        self.plain[tile] = max(0, self.plain.get(tile, 0) + plain)
        self._end_without_frauds()

    def sight(self, t: int, clock: int, tiles: Mapping[tuple[int, int], int]) -> list[float]:
        """The numbers for an event at t, which is then counted; `clock` and `tiles` (length, index) are its windows' before it."""
        if not self.begun:
            return [0.0] * (3 * len(RISK_WINDOWS) + 1) + [MISSING] * 5
        if self.newest is None:
            self._take_over(clock, tiles)
        numbers = self._numbers(t)
        own = t // TILE_MS
        self.newest = max(own, -1 if self.newest is None else self.newest)
        oldest = self.newest - count_horizon_tiles(self.label_delay_days)
        if own > oldest:
            self.seen[own] = self.seen.get(own, 0) + 1
        for kept in (self.seen, self.frauds, self.plain):
            for tile in [tile for tile in kept if tile <= oldest]:
                del kept[tile]
        self._end_without_frauds()
        return numbers

    def _take_over(self, clock: int, tiles: Mapping[tuple[int, int], int]) -> None:
        if clock < 0:
            return
        self.newest, today = clock // TILE_MS, clock // DAY_MS
        for (length, tile), count in tiles.items():
            if length == TILE_MS and tile > self.newest - _SIX_HOURS.tiles:
                self.seen[tile] = count
        for (length, day), count in tiles.items():
            if length == DAY_MS and day > today - _DAYS.tiles:
                first = day * TILES_PER_DAY
                covered = sum(
                    tiles.get((TILE_MS, tile), 0)
                    for tile in range(first, first + TILES_PER_DAY)
                    if tile > self.newest - _SIX_HOURS.tiles
                )
                if count > covered:
                    with_fraud = [tile for tile in range(first, first + TILES_PER_DAY) if self.frauds.get(tile)]
                    place = max(with_fraud, default=first + TILES_PER_DAY - 1)
                    self.seen[place] = self.seen.get(place, 0) + count - covered

    def _end_without_frauds(self) -> None:
        if not self.begun:
            self.newest = None
            self.seen.clear()
            self.frauds.clear()
            self.plain.clear()

    def _numbers(self, t: int) -> list[float]:
        own, behind = t // TILE_MS, int((t - self.label_delay_days * DAY_MS) // TILE_MS)
        numbers: list[float] = []
        for window in RISK_WINDOWS:
            numbers += [
                float(sum(n for tile, n in counted.items() if behind - window.tiles < tile <= behind))
                for counted in (self.frauds, self.plain, self.seen)
            ]
        numbers.append(float(sum(n for tile, n in self.frauds.items() if behind < tile <= own)))
        fraud = max((tile for tile, n in self.frauds.items() if n and tile <= own), default=None)
        plain = max((tile for tile, n in self.plain.items() if n and tile <= own), default=None)
        oldest = behind - RISK_WINDOWS[-1].tiles
        first = min((tile for tile, n in self.plain.items() if n and oldest < tile <= own), default=None)
        numbers += [MISSING if tile is None else float(t - tile * TILE_MS) for tile in (fraud, plain, first)]
        return numbers + [self._genuine_since(tile, behind) for tile in (fraud, plain)]

    def _genuine_since(self, since: int | None, behind: int) -> float:
        if since is None:
            return MISSING
        seen = sum(n for tile, n in self.seen.items() if since < tile <= behind)
        return float(max(0, seen - sum(n for tile, n in self.frauds.items() if since < tile <= behind)))


class _Unusual(NamedTuple):
    t: int
    order: int
    amount: int
    ratio: int


@dataclass(slots=True)
class Habit:
    """Of one entity."""

    kept: list[_Unusual] = field(default_factory=list)
    applied: int = 0

    def sight(self, window_update: WindowUpdate, clock: int, count: float, total: float) -> list[float]:
        """The numbers for an event, which is then kept if it is unusual; count and total of its tiled 30 d without it."""
        t, amount, days = window_update.event_time_ms, window_update.amount_base_minor, _DAYS.tiles
        oldest, day = clock // DAY_MS - days, t // DAY_MS
        known = [one for one in self.kept if one.t // DAY_MS > oldest]
        inside = [one for one in known if day - days < one.t // DAY_MS <= day]
        count, total = count - len(inside), total - sum(one.amount for one in inside)
        past = [one for one in known if t - UNUSUAL_WINDOWS[-1].length_ms < one.t <= t]
        numbers = [float(count), float(total)]
        numbers += [float(sum(one.t > t - window.length_ms for one in past)) for window in UNUSUAL_WINDOWS]
        numbers += [float(sum(one.ratio for one in past)), float(t - max(one.t for one in past)) if past else MISSING]
        self.applied += 1
        if count >= USUAL_MIN and total > 0 and amount * count > UNUSUAL_RATIO * total and day > oldest:
            ratio = min(int(amount * count / total * 1000), EXCESS_MAX)
            self.kept = sorted([*known, _Unusual(t, self.applied, amount, ratio)])[-MAX_UNUSUAL:]
        return numbers
