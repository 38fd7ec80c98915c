"""A retailer's rules: a YAML file, checked as a whole when it is loaded, evaluated for a batch at a time.

A rule that was accepted cannot fault later: names, kinds and missing values are settled at load (`scoring.rules.expressions`).
The version is a hash of what the rules say (not of comments or layout), so equal rules have equal versions everywhere.
"""

import hashlib
import json
import re
from collections.abc import Container, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.clock import to_epoch_ms
from contract.errors import ConfigurationError
from contract.events import Transaction
from contract.features import get_feature_names, get_schema
from contract.sections.section import LONG_NAME
from contract.settings import list_faults
from contract.verdicts import DECISIONS, Decision
from contract.windows import DAY_MS, ENTITY_NAMES, HOUR_MS
from runtime import yaml_document
from scoring.rules.expressions import Columns, Condition, ConditionError, Name, compile_condition

RULES_MAX = 200
ONE_BY_ONE_MAX = 8
"""Up to this many events plain values are faster than columns."""
FraudKind = Literal["payment_anomaly", "card_testing", "account_takeover", "coupon_abuse", "bot"]
TEXT_FIELDS = (
    "currency", "channel", "payment_method", "category", "country_billing", "country_delivery", "country_ip",
    "country_card", *ENTITY_NAMES, "phone",
)  # fmt: skip
ALWAYS_THERE = frozenset({"amount", "hour_sin", "hour_cos", "weekday", "weekend", "night", "hour", "score", "currency"})
PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Rule(BaseModel):
    """One rule as it stands in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=LONG_NAME, description="names the rule in verdicts and metrics")
    text: Annotated[str, Field(min_length=1, max_length=300)]
    """For a person; `{feature}` is replaced by its value."""
    when: Annotated[str, Field(min_length=1)]
    decision: Decision
    kind: FraudKind | None = None
    enabled: bool = True
    priority: int = Field(0, ge=-1000, le=1000, description="among rules of equal severity the higher speaks first")


class RulesFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: list[Rule] = Field(max_length=RULES_MAX)


class Ruleset:
    """Checked rules, ready to be evaluated. Immutable; several versions live side by side."""

    def __init__(self, rules: Sequence[Rule], conditions: Sequence[Condition], source: str) -> None:
        pairs = [(rule, condition) for rule, condition in zip(rules, conditions, strict=True) if rule.enabled]
        self.rules = tuple(rule for rule, _ in pairs)
        self.ids = tuple(rule.id for rule in self.rules)
        self.severities = np.array([DECISIONS.index(rule.decision) for rule in self.rules], dtype=np.int8)
        self.version = _version(rules)
        self.source = source
        """The YAML text, from which the same version can be loaded again."""
        self._conditions = tuple(condition for _, condition in pairs)
        self._names = sorted(frozenset[str]().union(*(condition.names for condition in self._conditions)))

    def rank(self, rule: Rule) -> tuple[int, int, str]:
        """Sorts fired rules for the reasons: the most severe first, then by priority."""
        return -DECISIONS.index(rule.decision), -rule.priority, rule.id

    def evaluate(
        self,
        transactions: Sequence[Transaction],
        quantities: NDArray[np.float64],
        scores: NDArray[np.float64],
        times_ms: NDArray[np.int64] | None = None,
    ) -> NDArray[np.bool_]:
        """Which rules match which events, shape (n, number of rules).

        Args:
            transactions: the batch.
            quantities: `extract.quantities` of it, shape (n, F).
            scores: the model's, shape (n,).
            times_ms: event times, where the caller has them already.
        """
        count = len(transactions)
        hits = np.empty((count, len(self.rules)), dtype=np.bool_)
        columns = self._columns(transactions, quantities, scores, times_ms)
        if columns and count <= ONE_BY_ONE_MAX:
            for row, values in enumerate(zip(*(column.tolist() for column in columns.values()), strict=True)):
                named = dict(zip(columns, values, strict=True))
                hits[row] = [condition.match_one(named) for condition in self._conditions]
            return hits
        for index, condition in enumerate(self._conditions):
            hits[:, index] = condition.match(columns, count)
        return hits

    def match(self, columns: Columns, count: int) -> NDArray[np.bool_]:
        """Which rules match which of `count` events, shape (count, rules), by columns that the caller has.

        A rule that asks for a column which is not among them matches nothing (`list_missing` names these).
        """
        hits = np.zeros((count, len(self.rules)), dtype=np.bool_)
        for index, condition in enumerate(self._conditions):
            if condition.names <= columns.keys():
                hits[:, index] = condition.match(columns, count)
        return hits

    @property
    def names(self) -> frozenset[str]:
        """What the rules ask for."""
        return frozenset(self._names)

    def list_missing(self, values: Container[str], present: Container[str]) -> list[tuple[str, ...]]:
        """By rule, what it asks for that is not there.

        Args:
            values: names whose values are known.
            present: names of which it is known whether they have a value.
        """
        return [
            tuple(
                sorted(
                    name
                    for name in condition.names
                    if name not in values and (name in condition.read or name not in present)
                )
            )
            for condition in self._conditions
        ]

    def _columns(
        self,
        transactions: Sequence[Transaction],
        quantities: NDArray[np.float64],
        scores: NDArray[np.float64],
        times_ms: NDArray[np.int64] | None,
    ) -> dict[str, NDArray[Any]]:
        places = _places()
        columns: dict[str, NDArray[Any]] = {}
        for name in self._names:
            if name in TEXT_FIELDS:
                column = np.empty(len(transactions), dtype=object)
                column[:] = [getattr(transaction, name) for transaction in transactions]
                columns[name] = column
            elif name == "score":
                columns[name] = scores
            elif name == "hour":
                columns[name] = _hours(transactions, times_ms)
            else:
                columns[name] = quantities[:, places[name]]
        return columns


@cache
def _places() -> Mapping[str, int]:
    return {name: place for place, name in enumerate(get_feature_names())}


def _hours(transactions: Sequence[Transaction], times_ms: NDArray[np.int64] | None) -> NDArray[np.float64]:
    times = (
        times_ms
        if times_ms is not None
        else np.array([to_epoch_ms(t.event_time) for t in transactions], dtype=np.int64)
    )
    hours: NDArray[np.float64] = (times % DAY_MS) / HOUR_MS
    return hours


@cache
def build_vocabulary() -> Mapping[str, Name]:
    """Everything a condition may speak of: features as quantities, `hour` (UTC), `score`, and fields as texts."""
    numbers = [feature.name for feature in get_schema() if not feature.buckets] + ["hour", "score"]
    words = {name: Name("number", name not in ALWAYS_THERE) for name in numbers}
    return words | {name: Name("text", name not in ALWAYS_THERE) for name in TEXT_FIELDS}


def load_rules(source: str, *, where: str) -> Ruleset:
    """The rules in the YAML text `source`; raises ConfigurationError that lists every fault. `where` names the file."""
    document = yaml_document.load(source, where)
    if not isinstance(document, dict):
        raise ConfigurationError([f"{where}: expected `rules:` and a list below it"])
    try:
        rules = RulesFile.model_validate(document).rules
    except ValidationError as error:
        raise ConfigurationError(list_faults(error, where=where)) from None
    return _checked(rules, source, where)


def load_default_rules() -> Ruleset:
    """The rules that ship with Tillguard."""
    return load_rules(
        files("scoring.rules").joinpath("default_rules.yaml").read_text(encoding="utf-8"), where="default_rules.yaml"
    )


def load_configured_rules(file: Path | None) -> Ruleset:
    """The rules of `scoring.rules_file`, or those that ship with Tillguard; raises ConfigurationError."""
    if file is None:
        return load_default_rules()
    try:
        return load_rules(file.read_text(encoding="utf-8"), where=str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"scoring.rules_file {file} cannot be read: {type(error).__name__}"]) from None


def _checked(rules: Sequence[Rule], source: str, where: str) -> Ruleset:
    faults: list[str] = []
    conditions: list[Condition] = []
    seen: set[str] = set()
    for rule in rules:
        if rule.id in seen:
            faults.append(f"{where}: rule {rule.id}: the id is used twice; rename one of them")
        seen.add(rule.id)
        faults += [
            f"{where}: rule {rule.id}: text: {{{name}}} is no feature"
            for name in PLACEHOLDER.findall(rule.text)
            if name not in _places()
        ]
        try:
            conditions.append(compile_condition(rule.when, build_vocabulary()))
        except ConditionError as error:
            faults.append(f"{where}: rule {rule.id}: when: {error}")
    if faults:
        raise ConfigurationError(faults)
    return Ruleset(rules, conditions, source)


def _version(rules: Sequence[Rule]) -> str:
    """A field that Rule gains later must not count while it has its default: published versions keep their names."""
    content = json.dumps([rule.model_dump() for rule in rules], sort_keys=True)
    return f"r-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
