"""The `when` of a rule: parsed and type-checked by the rule-engine library, evaluated over whole batches with numpy.

The library evaluates one rule on one event in some 10 µs; walking its syntax tree with columns costs as much for a whole
batch, and with plain values a tenth of it for one event. The meaning is the library's, over a part of its language that cannot fault at run time and takes time
linear in the text: comparisons, `and`, `or`, `not`, `in [...]`, `??`, `+`, `-`, `*` and division by a number. A name that
may be missing has to be written as `(name ?? 0)` before it is compared by order; `==`, `!=` and `in` take it as it is.
Numbers are binary (float64), where the library computes in decimals.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import rule_engine
from numpy.typing import NDArray
from rule_engine import ast
from rule_engine.errors import EngineError, SymbolResolutionError

from contract.errors import TillguardError

TEXT_MAX = 1000
"""Characters of a condition; longer ones are better written as several rules."""
_QUOTED = re.compile(r"""(?P<quote>["'])(?:[^\\\n]|\\.)*?(?P=quote)""")
"""A text as the library reads it."""
_COSTLY = re.compile(r"[=!]~|<<")
"""The library computes constants while it parses: a pattern may take it forever, a shift all memory."""

Columns = Mapping[str, NDArray[Any]]
"""Per name, n values: float64 with NaN as missing, or objects (str, None as missing)."""
Row = Mapping[str, float | str | None]
"""Per name, one value; NaN is a missing number, None a missing text."""
_Evaluate = Callable[[Any], Any]

_ORDER = {"lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge}
_ARITHMETIC = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}


class Name(NamedTuple):
    """What a condition may speak of."""

    kind: str
    """`number` or `text`."""
    nullable: bool


_TYPES = {
    Name("number", False): rule_engine.DataType.FLOAT,
    Name("text", False): rule_engine.DataType.STRING,
    Name("number", True): rule_engine.DataType.NULLABLE(rule_engine.DataType.FLOAT),
    Name("text", True): rule_engine.DataType.NULLABLE(rule_engine.DataType.STRING),
}
"""The library's types, made once: making one for each of 300 names took four fifths of a rule's check."""


class ConditionError(TillguardError):
    """The condition cannot be used; the message says what to write instead."""


class _Node(NamedTuple):
    kind: str
    """number, text, boolean or null."""
    nullable: bool
    evaluate: _Evaluate


class _Forms(NamedTuple):
    """The operations that are written differently for columns and for single values; all others are the same."""

    choose: Callable[[Any, Any, Any], Any]
    """(where, then, otherwise)."""
    is_none: Callable[[Any], Any]
    is_one_of: Callable[[Any, frozenset[Any]], Any]


def _each_is_one_of(values: Any, wanted: frozenset[Any]) -> Any:
    return np.array([value in wanted for value in np.atleast_1d(values).tolist()], dtype=np.bool_)


_NOTHING = np.array(None, dtype=object)
_COLUMNS = _Forms(np.where, lambda values: np.equal(values, _NOTHING), _each_is_one_of)
_VALUES = _Forms(
    lambda where, then, otherwise: then if where else otherwise,
    lambda value: value is None,
    lambda value, wanted: value in wanted,
)


class _Scope(NamedTuple):
    names: Mapping[str, Name]
    forms: _Forms
    read: set[str]
    """Filled while the tree is walked: the names whose values are read."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition."""

    text: str
    names: frozenset[str]
    """The columns that it asks for."""
    read: frozenset[str]
    """Those of them whose values count; of the others only whether a value is there, as in `coupon != null`."""
    _for_columns: _Evaluate
    _for_values: _Evaluate

    def match(self, columns: Columns, count: int) -> NDArray[np.bool_]:
        """Which of the `count` events match, shape (count,); never raises for columns of the declared kinds."""
        with np.errstate(all="ignore"):
            return np.broadcast_to(np.asarray(self._for_columns(columns), dtype=np.bool_), (count,))

    def match_one(self, row: Row) -> bool:
        """The same for one event."""
        return bool(self._for_values(row))


def build_context(names: Mapping[str, Name]) -> rule_engine.Context:
    """The library's view of the names: their types, and null where a value may be missing."""
    types = {name: _TYPES[spec] for name, spec in names.items()}
    return rule_engine.Context(type_resolver=types, default_timezone="utc")


def compile_condition(text: str, names: Mapping[str, Name]) -> Condition:
    """The condition in `text` over `names`; raises ConditionError."""
    if len(text) > TEXT_MAX:
        raise ConditionError(f"{len(text)} characters, at most {TEXT_MAX}; split it into several rules")
    _refuse_costly(text)
    try:
        rule = rule_engine.Rule(text, context=build_context(names))
        read: set[str] = set()
        node = _compile(rule.statement.expression, _Scope(names, _COLUMNS, read))
        single = _compile(rule.statement.expression, _Scope(names, _VALUES, read))
    except SymbolResolutionError as error:
        hint = f"; did you mean {error.suggestion}?" if error.suggestion else ""
        raise ConditionError(f"unknown name {error.symbol_name}{hint}") from None
    except EngineError as error:
        raise ConditionError(_in_words(error.message)) from None
    except RecursionError:
        raise ConditionError("nested too deeply; split it into several rules") from None
    except ArithmeticError:
        raise ConditionError("a number in it cannot be computed") from None
    if node.kind != "boolean":
        raise ConditionError(f"it is a {node.kind}, not a comparison; write for example `amount > 100`")
    used = frozenset(name for name in rule.context.symbols if name in names)
    return Condition(text, used, frozenset(read), node.evaluate, single.evaluate)


def _refuse_costly(text: str) -> None:
    found = _COSTLY.search(_QUOTED.sub("''", text))
    if found is None:
        return
    if found[0] == "<<":
        raise ConditionError("shifts (<<) are not available in rules; write the number itself")
    raise ConditionError(
        "patterns (=~) are not available in rules: one of them can stop the worker; use == or in [...]"
    )


def _in_words(message: str) -> str:
    if "nullable" in message:
        return "a value that may be missing is compared or computed with; write (name ?? 0) in its place"
    if "data type mismatch" in message:
        return "the two sides are of different kinds, as a number and a text"
    return message


def _compile(node: Any, scope: _Scope) -> _Node:
    for kind, build in _BUILDERS.items():
        if isinstance(node, kind):
            return build(node, scope)
    raise ConditionError(
        f"{type(node).__name__.removesuffix('Expression').lower() or 'this'} expressions are not available in rules; "
        "use comparisons, and, or, not, in [...], ??, +, -, * and / by a number"
    )


def _constant(kind: str, value: Any) -> _Node:
    return _Node(kind, kind == "null", lambda _columns: value)


def _number(node: Any, _scope: _Scope) -> _Node:
    value = float(node.value)
    if not np.isfinite(value):
        raise ConditionError("a number is not finite")
    return _constant("number", value)


def _literal(kind: str) -> Callable[[Any, _Scope], _Node]:
    return lambda node, _scope: _constant(kind, node.value)


def _symbol(node: Any, scope: _Scope) -> _Node:
    if node.scope is not None or node.name not in scope.names:
        raise ConditionError(f"unknown name {node.name}")
    scope.read.add(node.name)
    return _Node(*scope.names[node.name], operator.itemgetter(node.name))


def _logic(node: Any, scope: _Scope) -> _Node:
    left, right = _compile(node.left, scope), _compile(node.right, scope)
    if (left.kind, right.kind) != ("boolean", "boolean"):
        raise ConditionError(f"both sides of `{node.type}` must be comparisons")
    join, first, second = operator.and_ if node.type == "and" else operator.or_, left.evaluate, right.evaluate
    return _Node("boolean", False, lambda columns: join(first(columns), second(columns)))


def _order(node: Any, scope: _Scope) -> _Node:
    left, right = _compile(node.left, scope), _compile(node.right, scope)
    if (left.kind, right.kind) != ("number", "number"):
        raise ConditionError("<, <=, > and >= compare numbers only")
    compare, first, second = _ORDER[node.type], left.evaluate, right.evaluate
    return _Node("boolean", False, lambda columns: compare(first(columns), second(columns)))


def _equality(node: Any, scope: _Scope) -> _Node:
    left = _compile(node.left, _beside(node.left, node.right, scope))
    right = _compile(node.right, _beside(node.right, node.left, scope))
    if left.kind == "null":
        left, right = right, left
    if right.kind == "null":
        equal = _missing(left, scope)
    elif left.kind != right.kind:
        raise ConditionError(f"a {left.kind} is never equal to a {right.kind}")
    else:
        equal = _equal(left, right)
    if node.type == "ne":
        return _Node("boolean", False, lambda columns: equal(columns) ^ True)
    return _Node("boolean", False, equal)


def _beside(node: Any, other: Any, scope: _Scope) -> _Scope:
    """The scope of a side of a comparison: a name next to null is asked whether it is there, and not read."""
    only_asked = isinstance(node, ast.SymbolExpression) and isinstance(other, ast.NullExpression)
    return scope._replace(read=set()) if only_asked else scope


def _missing(node: _Node, scope: _Scope) -> _Evaluate:
    evaluate, is_none = node.evaluate, scope.forms.is_none
    if not node.nullable:
        return lambda _columns: False
    if node.kind == "number":
        return lambda columns: _is_nan(evaluate(columns))
    if node.kind == "text":
        return lambda columns: is_none(evaluate(columns))
    return lambda _columns: True


def _is_nan(value: Any) -> Any:
    return value != value  # noqa: PLR0124 - the only test that serves a column and a plain number alike


def _equal(left: _Node, right: _Node) -> _Evaluate:
    first, second = left.evaluate, right.evaluate
    if left.kind == "number" and left.nullable and right.nullable:  # two missing numbers are equal, two NaN are not

        def equal(columns: Columns) -> Any:
            a, b = first(columns), second(columns)
            return (a == b) | (_is_nan(a) & _is_nan(b))

        return equal
    return lambda columns: first(columns) == second(columns)


def _contains(node: Any, scope: _Scope) -> _Node:
    member = _compile(node.member, scope)
    if not isinstance(node.container, ast.ArrayExpression | ast.SetExpression):
        raise ConditionError("`in` needs a list in brackets, as category in ['gift card', 'phone']")
    items = [_compile(item, scope) for item in node.container.value]
    if any(
        item.kind != member.kind or not _is_literal(one) for item, one in zip(items, node.container.value, strict=True)
    ):
        raise ConditionError(f"the list after `in` must hold constants of the same kind, here {member.kind}s")
    values = frozenset(item.evaluate({}) for item in items)
    if member.kind == "boolean":
        raise ConditionError("`in` takes a number or a text")
    evaluate, is_one_of = member.evaluate, scope.forms.is_one_of
    return _Node("boolean", False, lambda columns: is_one_of(evaluate(columns), values))


def _is_literal(node: Any) -> bool:
    return isinstance(node, ast.FloatExpression | ast.StringExpression)


def _arithmetic(node: Any, scope: _Scope) -> _Node:
    left, right = _compile(node.left, scope), _compile(node.right, scope)
    if (left.kind, right.kind) != ("number", "number"):
        raise ConditionError("+, -, * and / compute with numbers only")
    first, second = left.evaluate, right.evaluate
    if node.type == "tdiv":
        divisor = second({}) if _is_literal(node.right) else 0.0
        if divisor == 0:
            raise ConditionError("divide by a constant other than 0 only; write a > 3 * b instead of a / b > 3")
        return _Node("number", False, lambda columns: first(columns) / divisor)
    if node.type not in _ARITHMETIC:
        raise ConditionError("of arithmetic only +, -, * and / by a number are available in rules")
    compute = _ARITHMETIC[node.type]
    return _Node("number", False, lambda columns: compute(first(columns), second(columns)))


def _unary(node: Any, scope: _Scope) -> _Node:
    right = _compile(node.right, scope)
    evaluate = right.evaluate
    if node.type == "uminus":
        if right.kind != "number":
            raise ConditionError("- stands before numbers only")
        return _Node("number", False, lambda columns: -evaluate(columns))
    if right.kind != "boolean":
        raise ConditionError("`not` stands before a comparison only")
    return _Node("boolean", False, lambda columns: evaluate(columns) ^ True)


def _coalesce(node: Any, scope: _Scope) -> _Node:
    left, right = _compile(node.left, scope), _compile(node.right, scope)
    if left.kind != right.kind or left.kind not in {"number", "text"}:
        raise ConditionError("both sides of ?? must be numbers or both texts")
    if not left.nullable:
        return left
    value, other, missing, choose = left.evaluate, right.evaluate, _missing(left, scope), scope.forms.choose

    def coalesce(columns: Columns) -> Any:
        return choose(missing(columns), other(columns), value(columns))

    return _Node(left.kind, right.nullable, coalesce)


_BUILDERS: dict[type, Callable[[Any, _Scope], _Node]] = {
    ast.LogicExpression: _logic,
    ast.ArithmeticComparisonExpression: _order,
    ast.ComparisonExpression: _equality,
    ast.ContainsExpression: _contains,
    ast.ArithmeticExpression: _arithmetic,
    ast.AddExpression: _arithmetic,
    ast.SubtractExpression: _arithmetic,
    ast.UnaryExpression: _unary,
    ast.CoalesceExpression: _coalesce,
    ast.SymbolExpression: _symbol,
    ast.FloatExpression: _number,
    ast.StringExpression: _literal("text"),
    ast.BooleanExpression: _literal("boolean"),
    ast.NullExpression: _literal("null"),
}
"""Subclasses stand before their parents."""
