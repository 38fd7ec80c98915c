"""Conditions mean what the rule-engine library says they mean, and nothing that could fault is let in."""

import math
from typing import Any

import numpy as np
import pytest
import rule_engine
from hypothesis import given
from hypothesis import strategies as st

from scoring.rules.expressions import ConditionError, Name, build_context, compile_condition

NAMES = {
    "a": Name("number", False),
    "b": Name("number", True),
    "c": Name("number", True),
    "s": Name("text", True),
    "u": Name("text", True),
    "t": Name("text", False),
}
# Multiples of 1/4 of modest size, so that binary and decimal arithmetic agree exactly.
NUMBERS = st.integers(-40, 40).map(lambda quarter: quarter / 4)
TEXTS = st.sampled_from(["x", "y", "", "web"])
LITERALS = st.integers(0, 40).map(lambda quarter: repr(quarter / 4))
QUOTED = TEXTS.map(repr)


def numbers(depth: int) -> st.SearchStrategy[str]:
    """Conditions' parts that are never missing."""
    plain = st.one_of(
        LITERALS, st.just("a"), st.tuples(st.sampled_from("bc"), LITERALS).map(lambda p: f"({p[0]} ?? {p[1]})")
    )
    if depth == 0:
        return plain
    inner = numbers(depth - 1)
    return st.one_of(
        plain,
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        st.tuples(inner, st.sampled_from(["2", "0.5", "4"])).map(lambda p: f"({p[0]} / {p[1]})"),
        inner.map(lambda p: f"(-{p})"),
    )


def comparisons() -> st.SearchStrategy[str]:
    number = numbers(2)
    text = st.one_of(
        QUOTED, st.sampled_from("sut"), st.tuples(st.sampled_from("su"), QUOTED).map(lambda p: f"({p[0]} ?? {p[1]})")
    )
    equal = st.sampled_from(["==", "!="])
    return st.one_of(
        st.tuples(number, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), number).map(" ".join),
        st.tuples(text, equal, text).map(" ".join),
        st.tuples(st.sampled_from("bc"), equal, st.sampled_from(["b", "c", "null", "1.5"])).map(" ".join),
        st.tuples(st.sampled_from("sut"), equal, st.just("null")).map(" ".join),
        st.tuples(st.just("null"), equal, st.sampled_from(["a", "b", "s", "t", "null"])).map(" ".join),
        st.tuples(st.just("(a ?? 2.0)"), equal, number).map(" ".join),
        st.tuples(st.sampled_from("sut"), st.lists(QUOTED, min_size=1, max_size=3)).map(
            lambda p: f"{p[0]} in [{', '.join(p[1])}]"
        ),
        st.tuples(st.sampled_from("abc"), st.lists(LITERALS, min_size=1, max_size=3)).map(
            lambda p: f"{p[0]} in [{', '.join(p[1])}]"
        ),
    )


def conditions(depth: int = 3) -> st.SearchStrategy[str]:
    if depth == 0:
        return comparisons()
    inner = conditions(depth - 1)
    return st.one_of(
        comparisons(),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda p: f"({p[0]}) {p[1]} ({p[2]})"),
        inner.map(lambda p: f"not ({p})"),
        st.tuples(inner, inner).map(lambda p: f"({p[0]}) == ({p[1]})"),
    )


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "a": NUMBERS,
            "b": st.none() | NUMBERS,
            "c": st.none() | NUMBERS,
            "s": st.none() | TEXTS,
            "u": st.none() | TEXTS,
            "t": TEXTS,
        }
    ),
    min_size=1,
    max_size=12,
)


def columns(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    made = {}
    for name, spec in NAMES.items():
        column = np.empty(len(rows), dtype=np.float64 if spec.kind == "number" else object)
        column[:] = [row[name] for row in rows]
        made[name] = column
    return made


@given(conditions(), ROWS)
def test_columns_and_single_values_give_what_the_library_gives(text: str, rows: list[dict[str, Any]]) -> None:
    rule = rule_engine.Rule(text, context=build_context(NAMES))
    expected = [rule.matches(row) for row in rows]
    condition = compile_condition(text, NAMES)
    assert condition.match(columns(rows), len(rows)).tolist() == expected
    as_values = [
        {name: math.nan if value is None and name in "bc" else value for name, value in row.items()} for row in rows
    ]
    assert [condition.match_one(row) for row in as_values] == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("zz > 3", "unknown name zz"),
        ("b > 3", "write (name ?? 0)"),
        ("a + b > 3", "write (name ?? 0)"),
        ("a > 'x'", "different kinds"),
        ("a == 'x'", "never equal"),
        ("s == 3", "never equal"),
        ("a", "it is a number"),
        ("'x'", "it is a text"),
        ("null", "it is a null"),
        ("a and a > 1", "must be comparisons"),
        ("not a", "before a comparison only"),
        ("-(s ?? 'x') == 'x'", "before numbers only"),
        ("t =~ '(x+)+$'", "patterns"),
        ("t =~~ t", "patterns"),
        ("'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!' =~ '(a+)+$'", "patterns"),
        ("'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!' !~~ '(a+)+$'", "patterns"),
        ("a > (1 << 99999999999)", "shifts"),
        ("[x for x in [1, 2]] == [1]", "comprehension"),
        ("$sum([1]) > 3", "functioncall"),
        ("t.length > 3", "getattribute"),
        ("t[0] == 'x'", "getitem"),
        ("(a > 1) ? (a > 2) : (a > 3)", "ternary"),
        ("a ** 2 > 4", "only +, -, *"),
        ("a % 2 == 0", "only +, -, *"),
        ("a // 2 == 0", "only +, -, *"),
        ("a / (b ?? 1) > 2", "instead of a / b > 3"),
        ("a / 0 > 2", "divide by a constant other than 0"),
        ("1 / 0 > a", "division by zero"),
        ("a & 3 == 1", "bitwise"),
        ("t > 'a'", "numbers only"),
        ("a in [a, 3]", "constants of the same kind"),
        ("s in ['x', 3]", "constants of the same kind"),
        ("'x' in t", "list in brackets"),
        ("(b ?? 'x') == 1", "different kinds"),
        ("t + 'x' == 'y'", "numbers only"),
        ("a > 1e400", "not finite"),
        ("a > nan", "not finite"),
        ("(a > 1) in [1]", "same kind"),
        ("((a > 1) ?? (b == 1)) == true", "both sides of ??"),
        ("9e999999 + 9e999999 > a", "cannot be computed"),
        ("a >", "syntax error"),
        ("a > $now", "different kinds"),
        ("a > 1 and " * 120 + "a > 1", "at most 1000"),
        ("-" * 900 + "a > 3", "nested too deeply"),
    ],
)
def test_what_cannot_be_evaluated_safely_is_refused_with_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ConditionError) as fault:
        compile_condition(text, NAMES)
    assert says in str(fault.value)


@given(st.text(max_size=60) | st.text(alphabet="abst()<>=!&|?+-*/'\"[]{}.$0123456789 ,:", max_size=60))
def test_any_text_is_a_condition_or_a_condition_error(text: str) -> None:
    try:
        condition = compile_condition(text, NAMES)
    except ConditionError:
        return
    rows = [{"a": 1.0, "b": None, "c": 2.0, "s": None, "u": "x", "t": "y"}]
    assert condition.match(columns(rows), 1).shape == (1,)


def test_numbers_too_large_for_a_float_never_match_by_accident() -> None:
    condition = compile_condition("a * 1e300 - a * 1e300 > 0", NAMES)
    assert not condition.match({"a": np.array([1e300])}, 1).any()
    assert not condition.match_one({"a": 1e300})


def test_a_condition_says_which_columns_it_reads() -> None:
    assert compile_condition("a > 1 and (b ?? 0) > 2 or s == 'x'", NAMES).names == {"a", "b", "s"}
