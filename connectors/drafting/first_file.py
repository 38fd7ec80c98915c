"""Writes a first connector file from a guess, with the reasons and the doubts next to each line. Pure."""

import json
from collections.abc import Mapping

import yaml

from connectors.drafting.guess import FIELDS, Guess

PERSONAL = ("card", "ip", "email", "phone", "address")
UNKNOWN = "CHANGE_ME"
"""Stands where no column was found; `connector check` then names the line."""
SWAPPABLE = "day and month may be the other way round: no day among the rows looked at is above 12"
_NUMBER_DOUBT = "is 1.234 a thousand or a little more than one? All amounts looked at read both ways"
WHOLE = "all amounts that were looked at are whole numbers: where they are cents, say `unit: minor`"
_REQUIRED = ("transaction_id", "event_time", "amount", "currency")


def render(
    name: str,
    source: Mapping[str, object],
    table: str | None,
    key: str | None,
    found: Guess,
    *,
    label_after_days: float | None = None,
) -> str:
    """The text of a connector file.

    Args:
        name: The connector's name.
        source: Settings of `source`, `kind` among them; no password.
        table: Table or collection; None for a file.
        key: Column that names a row, where known.
        found: What was guessed.
        label_after_days: How long after its transaction a label of the same row becomes known; None: not said.
    """
    word = {"mysql": "table", "mongodb": "collection"}.get(str(source["kind"]))
    lines = [
        "# A first connector file, guessed from the columns' names and some rows. Read every line, correct it, then run",
        "# `tillguard connector check FILE`: it shows ten rows as the transactions they become.",
        f"name: {render_scalar(name)}",
        "source:",
        *(f"  {setting}: {render_scalar(value)}" for setting, value in source.items()),
    ]
    if found.numbers is not None and found.numbers.ambiguous:
        lines.append(f"  # {_NUMBER_DOUBT}")
    lines.append("transactions:")
    if word is not None:
        lines.append(f"  {word}: {render_scalar(table)}")
    if key is not None:
        lines.append(f"  key: {render_scalar(key)}          # names a row; dead letters show it")
    if word is not None:
        lines.append("  updates: ignore       # an UPDATE of a row is no new transaction")
    lines += ["  fields:", *(f"    {line}" for line in _field_lines(found, is_file=word is None))]
    lines += _label_lines(found, word, label_after_days)
    if found.unused:
        lines.append(f"# Not used: {', '.join(render_scalar(name) for name in found.unused)}")
    return "\n".join(lines) + "\n"


def _field_lines(found: Guess, *, is_file: bool) -> list[str]:
    lines: list[str] = []
    for field in FIELDS:
        if field == "event_time":
            lines += _time_lines(found)
        elif field == "transaction_id" and is_file:
            lines += _id_lines(found)
        elif field == "currency":
            lines += _currency_lines(found)
        elif field == "amount" and found.numbers is not None and found.numbers.whole:
            lines += [f"# {WHOLE}", f"amount: {_spec(field, found.fields[field])}"]
        elif (line := _field_line(field, found.fields.get(field))) is not None:
            lines.append(line)
    return lines


def _field_line(field: str, column: str | None) -> str | None:
    if column is not None:
        return f"{field}: {_spec(field, column)}"
    return f"{field}: {UNKNOWN}          # needed: which column?" if field in _REQUIRED else None


def _currency_lines(found: Guess) -> list[str]:
    column = found.fields.get("currency")
    if column is not None and found.currency_values is None:
        return [f"currency: {render_scalar(column)}"]
    if column is not None:
        listed = ", ".join(
            f"{render_scalar(_number(held))}: {code}" for held, code in (found.currency_values or {}).items()
        )
        return [
            f"currency: {{column: {render_scalar(column)}, values: {{{listed}}}}}          # is each the code of its currency?"
        ]
    if len(found.currencies) > 1:
        told = "# the amounts are of several currencies: put the codes into a column of their own, and name it here"
        return [told, f"currency: {UNKNOWN}"]
    if found.currencies:
        code, *others = found.currencies[0]
        doubt = f"by the sign in the amounts; or is it {', '.join(others[:3])}?" if others else "as the amounts say"
        return [f"currency: {{constant: {code}}}          # {doubt}"]
    return ["currency: {constant: EUR}          # or the column that says it"]


def _id_lines(found: Guess) -> list[str]:
    column = found.fields.get("transaction_id")
    if column is None:
        return [
            "# no column names a transaction, so the row's number does: it holds while no row is put in before",
            "transaction_id: _row",
        ]
    doubt = "# not unique among the rows looked at: only the first of each counts; `_row` would be the row's number"
    line = f"transaction_id: {render_scalar(column)}"
    return [doubt, line] if found.repeated_id else [line]


def _time_lines(found: Guess) -> list[str]:
    column = found.fields.get("event_time")
    if column is None and found.day_and_time is None:
        return [f"event_time: {UNKNOWN}          # needed: which column?"]
    where = (
        f"column: {render_scalar(column)}" if column is not None else f"columns: {_listed(found.day_and_time or ())}"
    )
    form = (
        ""
        if found.time is None or found.time.formats == ("iso",)
        else f", format: {render_formats(found.time.formats)}"
    )
    doubts = []
    if found.time is None and found.looked_at:
        doubts.append("# no usual format of time fits the rows looked at: say `format`, such as %d.%m.%Y %H:%M")
    if found.time is not None and found.time.swappable:
        doubts.append(f"# {SWAPPABLE}")
    return [*doubts, f"event_time: {{{where}{form}, time_zone: UTC}}          # the zone of times that carry none"]


def render_formats(formats: tuple[str, ...]) -> str:
    """`format` as YAML writes it: one, or a list."""
    return render_scalar(formats[0]) if len(formats) == 1 else _listed(formats)


def _label_lines(found: Guess, word: str | None, after_days: float | None) -> list[str]:
    if found.fraud is None:
        return _no_labels(word)
    column = render_scalar(found.fraud)
    fields = []
    if found.fraud_values is None:
        lines = ["labels:", f"  - column: {column}    # 1 is fraud, 0 is genuine, null says nothing yet"]
    else:
        listed = ", ".join(
            f"{render_scalar(_number(held))}: {json.dumps(means)}" for held, means in found.fraud_values.items()
        )
        lines = ["labels:", "  - # true is fraud, false is genuine, null says nothing: is that so for each value?"]
        fields.append(f"fraud: {{column: {column}, values: {{{listed}}}}}")
    if after_days is not None:
        fields.append(
            f"label_time: {{after_days: {after_days:g}}} # known this many days after the purchase; or the column that says when"
        )
    return [*lines, *(["    fields:", *(f"      {field}" for field in fields)] if fields else [])]


def _no_labels(word: str | None) -> list[str]:
    if word is None:
        return ["# Labels, where a column says what was fraud:", "# labels:", "#   - column: is_fraud"]
    return [
        "# Chargebacks in a table of their own:",
        "# labels:",
        f"#   - {word}: chargebacks",
        "#     fields: {transaction_id: order_id, fraud: {constant: true}, source: {constant: chargeback}}",
    ]


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() and str(int(text)) == text else text


def _spec(field: str, column: str) -> str:
    if field in PERSONAL:
        return f"{{column: {render_scalar(column)}, tokenise: true}}"
    if field in ("amount", "discount"):
        return f"{{column: {render_scalar(column)}, unit: major}}          # major: 12.34; minor: 1234 cents"
    return render_scalar(column)


def _listed(values: tuple[str, ...]) -> str:
    return f"[{', '.join(map(render_scalar, values))}]"


def render_scalar(value: object) -> str:
    """`value` as YAML writes it inside a flow mapping."""
    if isinstance(value, str) and not value.isprintable():
        return json.dumps(value)
    text = yaml.safe_dump([value], default_flow_style=True, width=10_000, allow_unicode=True).strip()
    return text[1:-1]
