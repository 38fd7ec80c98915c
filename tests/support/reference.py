"""The words of contract/windows.py in plain Python, without a thought for speed: what the Redis script must equal.

It forgets only what the words say can never count again, so that long histories fit into memory.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.risk import HABIT_ENTITIES, list_side_names
from contract.windows import (
    DISTINCT_HORIZON_MS,
    DISTINCT_WINDOWS,
    ENTITIES,
    ENTITY_NAMES,
    EXACT_HORIZON_MS,
    MAX_COUNTERPARTS,
    MAX_EVENTS,
    WINDOWS,
    Entity,
    Window,
    hash_counterpart,
    list_aggregate_names,
)
from scoring.ports import Finding, WindowUpdate
from support.reference_sides import Habit, Risk

MISSING = float("nan")
LABEL_DELAY_DAYS = 7.0
"""The setting's default."""


class _Event(NamedTuple):
    t: int
    applied_seq: int
    amount: int


@dataclass(slots=True)
class _History:
    """Everything ever applied to one entity."""

    clock: int = -1
    """Greatest t; -1 before the first event."""
    events: list[_Event] = field(default_factory=list)
    tiles: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    """(tile length, tile) → count and sum."""
    met: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    """Counterpart → value → its greatest (t, applied_seq)."""


class Reference:
    """Applies window updates one after the other, in applied_seq order."""

    def __init__(
        self,
        *,
        max_events: int = MAX_EVENTS,
        max_counterparts: int = MAX_COUNTERPARTS,
        label_delay_days: float = LABEL_DELAY_DAYS,
    ) -> None:
        self._max_events = max_events
        self._max_counterparts = max_counterparts
        self._label_delay_days = label_delay_days
        self._risks: dict[tuple[int, bytes], Risk] = {}
        self._habits: dict[tuple[int, bytes], Habit] = {}
        self._known: dict[str, str] = {}
        self._histories: dict[tuple[str, str], _History] = {}
        self._links: dict[tuple[str, str], str] = {}

    def apply(self, applied_seq: int, window_update: WindowUpdate) -> list[float]:
        """Aggregates of every entity, in the order of contract.windows.list_aggregate_names and ENTITIES, then of contract.risk.list_side_names."""
        values = self._canonical(window_update)
        row: list[float] = []
        sides: list[float] = []
        for place, entity in enumerate(ENTITIES):
            value = values[entity.name]
            if value is None:
                row.extend([MISSING] * len(list_aggregate_names(entity)))
                sides.extend([MISSING] * len(list_side_names(entity)))
            else:
                before = self._histories.get((entity.name, value), _History())
                tiles = {(tile_ms, tile): count for (tile_ms, tile), (count, _) in before.tiles.items()}
                clock = before.clock
                row.extend(self._entity(entity, values, applied_seq, window_update))
                names = list_aggregate_names(entity)
                month = [
                    row[len(row) - len(names) + names.index(f"{kind}_{WINDOWS[-1].name}")] for kind in ("count", "sum")
                ]
                sides.extend(self._side(place, value, window_update, (clock, tiles), month))
        return row + sides

    def _side(
        self,
        place: int,
        value: str,
        window_update: WindowUpdate,
        before: tuple[int, dict[tuple[int, int], int]],
        month: Sequence[float],
    ) -> list[float]:
        key = (place, hash_counterpart(value.encode()))
        risk = self._risks.setdefault(key, Risk(self._label_delay_days))
        numbers = risk.sight(window_update.event_time_ms, *before)
        if ENTITIES[place].name in HABIT_ENTITIES:
            habit = self._habits.setdefault(key, Habit())
            clock = max(before[0], window_update.event_time_ms)
            numbers += habit.sight(window_update, clock, month[0] - 1, month[1] - window_update.amount_base_minor)
        return numbers

    def learn(self, finding: Finding) -> bool:
        """Applies an outcome; whether it was new."""
        outcome = "plain" if finding.plain else "fraud" if finding.fraud else "genuine"
        known = self._known.get(finding.transaction_id, "genuine")
        if known == outcome:
            return False
        self._known[finding.transaction_id] = outcome
        for key in finding.entities:
            self._risks.setdefault(key, Risk(self._label_delay_days)).learn(finding.event_time_ms, known, outcome)
        return True

    def _canonical(self, window_update: WindowUpdate) -> dict[str, str | None]:
        """The oldest token of every value; a first-seen token with an alias is linked to it."""
        aliases = window_update.aliases or (None,) * len(ENTITIES)
        found: dict[str, str | None] = {}
        for name, value, alias in zip(ENTITY_NAMES, window_update.entities, aliases, strict=True):
            known = (name, value) in self._links or (name, value) in self._histories
            if value is not None and alias is not None and alias != value and not known:
                self._links[name, value] = self._links.get((name, alias), alias)
            found[name] = None if value is None else self._links.get((name, value), value)
        return found

    def _entity(
        self, entity: Entity, values: dict[str, str | None], applied_seq: int, window_update: WindowUpdate
    ) -> list[float]:
        history = self._histories.setdefault((entity.name, values[entity.name] or ""), _History())
        event = _Event(window_update.event_time_ms, applied_seq, window_update.amount_base_minor)
        before = history.clock
        clock = history.clock = max(before, event.t)
        live = [earlier for earlier in history.events if earlier.t > clock - EXACT_HORIZON_MS]
        retained = sorted(live, key=lambda earlier: (earlier.t, earlier.applied_seq))[-(self._max_events - 1) :]
        saturated = len(retained) < len(live)
        row: list[float] = []
        for window in WINDOWS:
            row.extend(_tiled(history, window, event) if window.tile_ms else _exact(retained, window, event))
        row.append(_since_last(event.t, before, retained))
        for name in entity.counterparts:
            numbers, full = self._counterparts(history, name, values[name], event)
            row.extend(numbers)
            saturated = saturated or full
        row.append(float(saturated))
        history.events = [*live, event]
        for tile_ms in {window.tile_ms for window in WINDOWS if window.tile_ms}:
            count, total = history.tiles.get((tile_ms, event.t // tile_ms), (0, 0))
            history.tiles[tile_ms, event.t // tile_ms] = (count + 1, total + event.amount)
        return row

    def _counterparts(self, history: _History, name: str, value: str | None, event: _Event) -> tuple[list[float], bool]:
        met = history.met.setdefault(name, {})
        before = self._kept(met, history.clock).get(value) if value is not None else None
        since = MISSING if before is None or before[0] > event.t else float(event.t - before[0])
        if value is not None:
            joined = (event.t, event.applied_seq)
            met[value] = max(met.get(value, joined), joined)
        kept = self._kept(met, history.clock)
        full = len(kept) < sum(last > history.clock - DISTINCT_HORIZON_MS for last, _ in met.values())
        distinct = [
            float(sum(last > event.t - window.length_ms for last, _ in kept.values())) for window in DISTINCT_WINDOWS
        ]
        return [*distinct, since], full

    def _kept(self, met: dict[str, tuple[int, int]], clock: int) -> dict[str, tuple[int, int]]:
        live = [(last, value) for value, last in met.items() if last[0] > clock - DISTINCT_HORIZON_MS]
        return {value: last for last, value in sorted(live)[-self._max_counterparts :]}


def _exact(retained: Sequence[_Event], window: Window, event: _Event) -> tuple[float, float]:
    inside = [earlier.amount for earlier in retained if event.t - window.length_ms < earlier.t <= event.t]
    return len(inside) + 1, sum(inside) + event.amount


def _tiled(history: _History, window: Window, event: _Event) -> tuple[float, float]:
    own, newest = event.t // window.tile_ms, history.clock // window.tile_ms
    inside = [
        numbers
        for (tile_ms, tile), numbers in history.tiles.items()
        if tile_ms == window.tile_ms and own - window.tiles < tile <= own and tile > newest - window.tiles
    ]
    return sum(count for count, _ in inside) + 1, sum(total for _, total in inside) + event.amount


def _since_last(t: int, before: int, retained: Sequence[_Event]) -> float:
    if before < 0:
        return MISSING
    if t >= before:
        return float(t - before)
    past = [event.t for event in retained if event.t <= t]
    return float(t - max(past)) if past else MISSING


def aggregates(
    applied: Iterable[tuple[int, WindowUpdate]],
    *,
    max_events: int = MAX_EVENTS,
    max_counterparts: int = MAX_COUNTERPARTS,
) -> NDArray[np.float64]:
    """Aggregates of window updates given with their applied_seq, shape (n, K), rows as given; replayed in applied_seq order.

    A transaction given again gets the row of its first applied_seq. Nothing is known of any of them.
    """
    reference = Reference(max_events=max_events, max_counterparts=max_counterparts)
    given = list(applied)
    rows: dict[str, list[float]] = {}
    for applied_seq, window_update in sorted(given, key=lambda pair: pair[0]):
        if window_update.transaction_id not in rows:
            rows[window_update.transaction_id] = reference.apply(applied_seq, window_update)
    return np.array([rows[window_update.transaction_id] for _, window_update in given], dtype=np.float64)
