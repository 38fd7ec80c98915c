"""What rules would have done: evaluated over what serving saw, next to what was decided, by what became of it. Pure.

The feature log holds numbers (float32) and no texts, so a rule that reads a text (`category == 'gift card'`) cannot be tried; whether an
entity was named (`coupon != null`) is known. Numbers are compared as float32, the amount exactly.

What would have been decided follows from the score, the thresholds of the model and the rules. It is told only where the same
computation, with the rules of that time, gives what was decided. Elsewhere something else had the last word (a list, the
breaker, the control group, a snooze, a rule that reads a text), and it keeps that word.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.clock import to_epoch_ms
from contract.features import FeatureRecord, get_feature_names, get_schema_widths
from contract.models import Thresholds
from contract.money import get_exponent
from contract.verdicts import DECISIONS, Decision
from contract.windows import DAY_MS, ENTITY_NAMES, HOUR_MS
from scoring.decision.decide import decide_by_model, decide_severities
from scoring.rules.ruleset import Ruleset, build_vocabulary

FRAUD, GENUINE, UNKNOWN = range(3)
"""Outcomes: what is known of a transaction."""
_OUTCOMES, _SEVERITIES = 3, len(DECISIONS)
_PLACES = {name: place for place, name in enumerate(get_feature_names())}
NUMBERS = frozenset(name for name, spec in build_vocabulary().items() if spec.kind == "number")
"""Names whose values the feature log holds."""
_THERE = object()
"""Stands for a text of which only is known that it is there."""


@dataclass(frozen=True, slots=True)
class Slice:
    """n transactions of the feature log."""

    values: NDArray[np.float32]
    """Shape (n, F), NaN where missing."""
    scores: NDArray[np.float64]
    amounts_minor: NDArray[np.int64]
    """Minor units of the base currency."""
    times_ms: NDArray[np.int64]
    decided: NDArray[np.int8]
    """Severities."""
    bases: list[tuple[str, str]]
    """Versions of the model and the rules that judged."""
    outcomes: NDArray[np.int8]
    """FRAUD, GENUINE or UNKNOWN."""
    unusable: int = 0
    """Records that were left out: of a schema that is not known, or damaged."""


class Past(NamedTuple):
    """What judged: by version, None where nobody knows it any more."""

    find_thresholds: Callable[[str], Thresholds | None]
    find_rules: Callable[[str], Ruleset | None]


class Tally(NamedTuple):
    """Transactions and their money."""

    transactions: int
    amount_minor: int
    """Minor units of the base currency."""


class ByOutcome(NamedTuple):
    """A tally for each thing that is known of transactions."""

    fraud: Tally
    genuine: Tally
    unknown: Tally

    @property
    def all(self) -> Tally:
        """All three together."""
        return Tally(sum(one.transactions for one in self), sum(one.amount_minor for one in self))


class RuleTrial(NamedTuple):
    """What one rule would have done."""

    rule: str
    decision: Decision
    fired: ByOutcome
    changed: ByOutcome
    """Where it fired and another decision than the real one would have been made."""
    missing: tuple[str, ...]
    """What it asks for that the feature log does not hold; where it is not empty, the rule could not be tried."""


class DryRun(NamedTuple):
    """What rules would have done."""

    rules_version: str
    seen: ByOutcome
    """All transactions."""
    first_ms: int | None
    """Event time of the earliest transaction, ms since 1970 UTC; None where there is none."""
    last_ms: int | None
    rules: tuple[RuleTrial, ...]
    changes: Mapping[tuple[Decision, Decision], ByOutcome]
    """(decided, would have been decided) → how many; equal ones are left out."""
    overruled: int
    """Transactions where something else than model and rules had the last word, which it keeps."""
    unjudged: int
    """Transactions whose model or rules are not known any more, so that no change is told."""
    unusable: int
    """Records that could not be read."""
    complete: bool
    """False: it was cancelled."""


def read_slice(records: Sequence[FeatureRecord], outcomes: Mapping[str, bool]) -> Slice:
    """The columns of records; `outcomes` says of transactions whether they are known to be fraud (True) or genuine (False)."""
    widths, width = get_schema_widths(), len(_PLACES)
    good = [
        one
        for one in records
        if len(one.values) == 4 * widths.get(one.feature_schema, -1) and one.decision in DECISIONS
    ]
    values = np.full((len(good), width), np.nan, dtype=np.float32)
    for schema, columns in widths.items():
        rows = [row for row, one in enumerate(good) if one.feature_schema == schema]
        if rows:
            data = b"".join([good[row].values for row in rows])
            values[rows, :columns] = np.frombuffer(data, "<f4").reshape(len(rows), columns)
    known = {True: FRAUD, False: GENUINE, None: UNKNOWN}
    return Slice(
        values,
        np.array([one.score for one in good], dtype=np.float64),
        np.array([one.amount_base_minor for one in good], dtype=np.int64),
        np.array([to_epoch_ms(one.event_time) for one in good], dtype=np.int64),
        np.array([DECISIONS.index(one.decision) for one in good], dtype=np.int8),
        [(one.model_version, one.rules_version) for one in good],
        np.array([known[outcomes.get(one.transaction_id)] for one in good], dtype=np.int8),
        len(records) - len(good),
    )


def run_dry(
    rules: Ruleset,
    slices: Iterable[Slice],
    past: Past,
    *,
    currency: str,
    progress: Callable[[int], None] = lambda _count: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> DryRun:
    """Tries `rules` on slices of the feature log, one after another; memory is that of one slice.

    Args:
        rules: what is tried.
        slices: some thousand transactions each.
        past: what judged them.
        currency: the base currency (ISO 4217).
        progress: told after each slice how many transactions were tried.
        is_cancelled: asked before each slice; once it says so, the result is what was tried until then.
    """
    trial, complete = _Trial(rules, past, 10.0 ** get_exponent(currency)), True
    for one in slices:
        if is_cancelled():
            complete = False
            break
        trial.add(one)
        progress(int(trial.seen.transactions.sum()))
    return trial.tell(complete=complete)


class _Sums:
    """Transactions and money of `kinds` things, by outcome."""

    def __init__(self, kinds: int) -> None:
        self.transactions = np.zeros((kinds, _OUTCOMES), dtype=np.int64)
        self.amounts = np.zeros((kinds, _OUTCOMES), dtype=np.int64)

    def add(self, kinds: NDArray[Any], outcomes: NDArray[np.int8], amounts: NDArray[np.int64]) -> None:
        """One transaction of each of `kinds`, shape (n,), in whole numbers, so that no cent is lost."""
        np.add.at(self.transactions, (kinds, outcomes), 1)
        np.add.at(self.amounts, (kinds, outcomes), amounts)

    def tell(self, kind: int) -> ByOutcome:
        """The sums of one thing."""
        return ByOutcome(*map(Tally, self.transactions[kind].tolist(), self.amounts[kind].tolist()))


class _Trial:
    def __init__(self, rules: Ruleset, past: Past, minor: float) -> None:
        self._rules = rules
        self._past = past
        self._minor = minor
        self.seen = _Sums(1)
        self._fired, self._changed = _Sums(len(rules.rules)), _Sums(len(rules.rules))
        self._changes = _Sums(_SEVERITIES * _SEVERITIES)
        self._overruled = self._unjudged = self._unusable = 0
        self._times_ms: tuple[int, int] | None = None

    def add(self, one: Slice) -> None:
        self._unusable += one.unusable
        count = len(one.scores)
        if not count:
            return
        first_ms, last_ms = self._times_ms or (int(one.times_ms[0]), int(one.times_ms[0]))
        self._times_ms = (min(first_ms, int(one.times_ms.min())), max(last_ms, int(one.times_ms.max())))
        fired = self._match(self._rules, one)
        after = self._decide_again(one, fired)
        self.seen.add(np.zeros(count, dtype=np.intp), one.outcomes, one.amounts_minor)
        _add_pairs(self._fired, fired, one)
        changed = after != one.decided
        _add_pairs(self._changed, fired & changed[:, None], one)
        kinds = one.decided.astype(np.intp) * _SEVERITIES + after
        self._changes.add(kinds[changed], one.outcomes[changed], one.amounts_minor[changed])

    def tell(self, *, complete: bool) -> DryRun:
        missing = self._rules.list_missing(NUMBERS, ENTITY_NAMES)
        first_ms, last_ms = self._times_ms or (None, None)
        return DryRun(
            self._rules.version,
            self.seen.tell(0),
            first_ms,
            last_ms,
            tuple(
                RuleTrial(rule.id, rule.decision, self._fired.tell(place), self._changed.tell(place), missing[place])
                for place, rule in enumerate(self._rules.rules)
            ),
            {
                (DECISIONS[kind // _SEVERITIES], DECISIONS[kind % _SEVERITIES]): self._changes.tell(int(kind))
                for kind in np.flatnonzero(self._changes.transactions.any(axis=1)).tolist()
            },
            self._overruled,
            self._unjudged,
            self._unusable,
            complete,
        )

    def _match(self, rules: Ruleset, one: Slice) -> NDArray[np.bool_]:
        """Which rules match, shape (n, rules); none of those that ask for what is not there."""
        columns = {name: self._column(name, one) for name in rules.names if name in NUMBERS or name in ENTITY_NAMES}
        hits = rules.match(columns, len(one.scores))
        hits[:, [bool(missing) for missing in rules.list_missing(NUMBERS, ENTITY_NAMES)]] = False
        return hits

    def _column(self, name: str, one: Slice) -> NDArray[Any]:
        if name == "amount":
            return one.amounts_minor / self._minor
        if name == "score":
            return one.scores
        if name == "hour":
            return (one.times_ms % DAY_MS) / HOUR_MS
        if name in ENTITY_NAMES:
            absent = np.isnan(one.values[:, _PLACES[f"{name}_count_1d"]])
            return np.where(absent, np.array(None, dtype=object), np.array(_THERE, dtype=object))
        return one.values[:, _PLACES[name]]

    def _decide_again(self, one: Slice, fired: NDArray[np.bool_]) -> NDArray[np.int8]:
        """What would have been decided, shape (n,)."""
        after = one.decided.copy()
        rows_of: dict[tuple[str, str], list[int]] = {}
        for row, basis in enumerate(one.bases):
            rows_of.setdefault(basis, []).append(row)
        for (model_version, rules_version), rows in rows_of.items():
            thresholds, before = self._past.find_thresholds(model_version), self._past.find_rules(rules_version)
            if thresholds is None or before is None:
                self._unjudged += len(rows)
                continue
            by_model = decide_by_model(one.scores[rows], thresholds)
            fired_before = self._match(before, _take(one, rows))
            explained = decide_severities(by_model, fired_before, before.severities, ()) == one.decided[rows]
            would = decide_severities(by_model, fired[rows], self._rules.severities, ())
            after[rows] = np.where(explained, would, one.decided[rows])
            self._overruled += int(np.count_nonzero(~explained))
        return after


def _add_pairs(sums: _Sums, hits: NDArray[np.bool_], one: Slice) -> None:
    rows, kinds = np.nonzero(hits)
    sums.add(kinds, one.outcomes[rows], one.amounts_minor[rows])


def _take(one: Slice, rows: list[int]) -> Slice:
    if len(rows) == len(one.scores):
        return one
    return Slice(
        one.values[rows], one.scores[rows], one.amounts_minor[rows], one.times_ms[rows], one.decided[rows],
        [one.bases[row] for row in rows], one.outcomes[rows],
    )  # fmt: skip
