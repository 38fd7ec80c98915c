"""What `connector check` adds for files: settings that would fit where the connector file does not, and doubts. Pure."""

from collections.abc import Sequence

from connectors.assembly import has_untimed_labels
from connectors.config.connector_file import ConnectorConfig
from connectors.config.file_settings import Files
from connectors.currency_signs import find_currencies
from connectors.drafting.column_forms import find_number_form, find_time_form
from connectors.drafting.first_file import SWAPPABLE, WHOLE, render_formats, render_scalar
from connectors.drafting.guess import NULLS
from connectors.files.looks import guess_encoding
from connectors.mapping.mapper import MappedMessage
from connectors.ports import Row, Unreadable
from connectors.values import ABSENT, get_at_path
from contract.dead_letters import DeadLetter
from contract.events import Label, Transaction

FEW = 100
"""Among fewer rows it is no wonder that none is a fraud."""
Rows = Sequence[Row | Unreadable]
Looked = Sequence[Sequence[MappedMessage]]


def describe_file(config: ConnectorConfig, rows: Rows, looked: Looked, label_delay_days: float) -> list[str]:
    """Sentences about a file.

    Args:
        config: Its connector file.
        rows: Rows that were looked at.
        looked: What each of them becomes.
        label_delay_days: When a label without a time of its own counts as known.
    """
    letters = [outcome for outcomes in looked for outcome in outcomes if isinstance(outcome, DeadLetter)]
    return [
        *_encoding_notes(config, rows, letters),
        *_null_notes(config, rows),
        *_time_notes(config, rows, letters),
        *_amount_notes(config, rows, letters),
        *_currency_notes(config, rows, looked),
        *_identity_notes(looked),
        *_label_notes(config, looked, label_delay_days),
        *_meaning_notes(config, looked, letters),
    ]


def _encoding_notes(config: ConnectorConfig, rows: Rows, letters: Sequence[DeadLetter]) -> list[str]:
    if not isinstance(config.source, Files) or not any(letter.reason == "encoding" for letter in letters):
        return []
    texts = [value for row in rows if isinstance(row, Row) for value in row.values.values() if isinstance(value, str)]
    data = "\n".join(texts).encode("utf-8", "surrogateescape")
    fitting = guess_encoding(data)
    return [
        f"some text is not {config.source.encoding}: `encoding: {fitting}` in `source` would fit (then look at a few names)"
    ]


def _null_notes(config: ConnectorConfig, rows: Rows) -> list[str]:
    if not isinstance(config.source, Files) or config.source.identify_format() != "csv":
        return []
    fields = config.transactions.fields
    specs = [getattr(fields, field) for field in type(fields).model_fields]
    names = {name for spec in specs if spec is not None for name in spec.list_names()}
    values = [row.values.get(name) for row in rows if isinstance(row, Row) for name in names]
    words = sorted({str(value) for value in values if value in NULLS})
    if not words:
        return []
    count = sum(value in words for value in values)
    return [
        f"{count:,} cells hold {', '.join(words)}, which counts as a value: `nulls: {render_scalar(words)}` in `source` makes gaps of them"
    ]


def _time_notes(config: ConnectorConfig, rows: Rows, letters: Sequence[DeadLetter]) -> list[str]:
    spec = config.transactions.fields.event_time
    values = _values(rows, spec.list_names())
    form = find_time_form(values)
    if not values or (form is not None and list(form.formats) == spec.format):
        return [f"event_time: {SWAPPABLE}"] if form is not None and form.swappable else []
    if any(letter.detail.startswith("event_time:") for letter in letters):
        if form is None:
            counted = find_number_form(values) is not None
            why = (
                "; numbers that count from a start of their own must be made times first" if counted and values else ""
            )
            return [f"event_time: no usual format fits all {len(values):,} rows that were looked at{why}"]
        swapped = f"; {SWAPPABLE}" if form.swappable else ""
        return [
            f"event_time: `format: {render_formats(form.formats)}` would fit all {len(values):,} rows that were looked at{swapped}"
        ]
    return [f"event_time: {SWAPPABLE}"] if form is not None and form.swappable else []


def _amount_notes(config: ConnectorConfig, rows: Rows, letters: Sequence[DeadLetter]) -> list[str]:
    spec = config.transactions.fields.amount
    values = _values(rows, spec.list_names())
    form = find_number_form(values)
    refused = any(letter.detail.startswith("amount: not a number") for letter in letters)
    if form is None:
        told = f"amount: no usual form of number fits all {len(values):,} rows that were looked at"
        return [f"{told}: a price is digits, signs of decimals and thousands, and a currency"] * (
            refused and bool(values)
        )
    if form.whole and spec.unit == "major":
        return [f"amount: {WHOLE}"]
    if refused and (form.decimal, form.thousands) != (None, None):
        settings = [f"decimal: {render_scalar(form.decimal)}"] + (
            [f"thousands: {render_scalar(form.thousands)}"] if form.thousands else []
        )
        return [f"amount: `{', '.join(settings)}` in `source` would fit all {len(values):,} rows that were looked at"]
    if form.ambiguous and isinstance(config.source, Files) and config.source.decimal is config.source.thousands is None:
        return ["amount: is 1.234 a thousand or a little more than one? All amounts that were looked at read both ways"]
    return []


def _currency_notes(config: ConnectorConfig, rows: Rows, looked: Looked) -> list[str]:
    (name,) = config.transactions.fields.amount.list_names() or ("",)
    other: dict[str, str] = {}
    count = 0
    for row, outcomes in zip(rows, looked, strict=True):
        held = get_at_path(row.values, name) if isinstance(row, Row) else None
        codes = find_currencies(held) if isinstance(held, str) else ()
        said = next((each.currency for each in outcomes if isinstance(each, Transaction)), None)
        if codes and said is not None and said not in codes:
            count += 1
            other.setdefault(codes[0], said)
    if not count:
        return []
    told = ", ".join(f"{code} by its sign, {said} by the mapping" for code, said in other.items())
    return [
        f"currency: {count:,} of {len(rows):,} amounts show the sign of another currency than `currency` says ({told})"
    ]


def _identity_notes(looked: Looked) -> list[str]:
    transactions = [outcome for outcomes in looked for outcome in outcomes if isinstance(outcome, Transaction)]
    repeated = len(transactions) - len({each.transaction_id for each in transactions})
    notes = []
    if repeated:
        notes.append(
            f"transaction_id: {repeated:,} of {len(transactions):,} rows repeat the id of another, and only the first of each counts; "
            "`transaction_id: _row` takes the row's number"
        )
    if len(transactions) > 1 and len({each.event_time for each in transactions}) == 1:
        notes.append(
            f"event_time: all {len(transactions):,} rows that were looked at have the same, so nothing can be learned over time"
        )
    return notes


def _label_notes(config: ConnectorConfig, looked: Looked, label_delay_days: float) -> list[str]:
    if has_untimed_labels(config):
        told = (
            f"labels have no time of their own: each counts as known {label_delay_days:g} days after its transaction "
            "(trainer.label_delay_days); `fields: {label_time: {after_days: N}}` under `labels` says it better"
        )
        return [told]
    labels = [label for outcomes in looked for label in outcomes if isinstance(label, Label)]
    at_purchase = sum(_is_at_purchase(outcomes) for outcomes in looked)
    if not at_purchase:
        return []
    told = (
        f"{at_purchase:,} of {len(labels):,} labels are dated at their purchase or before it: a model learns as if each fraud "
        "was known at once, and looks better than it is; `label_time` should say when it became known"
    )
    return [told]


def _meaning_notes(config: ConnectorConfig, looked: Looked, letters: Sequence[DeadLetter]) -> list[str]:
    """What is strange about the labels as a whole; a column that means the opposite, or nothing, is read without a fault."""
    if not config.labels or any(letter.detail.startswith("fraud:") for letter in letters):
        return []
    labels = [outcome.fraud for outcomes in looked for outcome in outcomes if isinstance(outcome, Label)]
    rows = sum(isinstance(outcome, Transaction) for outcomes in looked for outcome in outcomes)
    frauds = sum(labels)
    if not labels and rows:
        told = "says fraud or genuine: do `labels` name the right column, and `values` what each value in it means?"
        return [f"labels: none of the {rows:,} rows that were looked at {told}"]
    if frauds > len(labels) / 2:
        return [f"labels: {frauds:,} of {len(labels):,} are frauds: is what the column holds the other way round?"]
    if not frauds and len(labels) >= FEW:
        return [
            f"labels: none of the {len(labels):,} that were looked at is a fraud: does the column say it in another way?"
        ]
    return []


def _is_at_purchase(outcomes: Sequence[MappedMessage]) -> bool:
    times = [outcome.event_time for outcome in outcomes if isinstance(outcome, Transaction)]
    return any(isinstance(outcome, Label) and times and outcome.label_time <= times[0] for outcome in outcomes)


def _values(rows: Rows, names: Sequence[str]) -> list[object]:
    """What the rows hold in one column, or in several joined by a space."""
    found = []
    for row in rows:
        held = [get_at_path(row.values, name) for name in names] if isinstance(row, Row) else []
        if held and not any(value in (None, "", ABSENT) for value in held):
            found.append(held[0] if len(held) == 1 else " ".join(map(str, held)))
    return found
