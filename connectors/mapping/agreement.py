"""Whether two connector files say the same of a transaction: a model learned from one serves on the other. Pure."""

from connectors.config.connector_file import ConnectorConfig
from connectors.config.fields import FieldSpec, MoneyField, TextField, TimeField, TransactionFields

UNUSED = ("phone",)
"""Neither a feature nor an entity."""


def find_disagreements(past: ConnectorConfig, live: ConnectorConfig) -> list[str]:
    """Sentences about fields that a file's mapping and a live connector read otherwise.

    Args:
        past: of the history file that a model learns from.
        live: of the database that it will judge.
    """
    told = []
    for name in TransactionFields.model_fields:
        first, second = getattr(past.transactions.fields, name), getattr(live.transactions.fields, name)
        if name in UNUSED or (first is None and second is None):
            continue
        if first is None:
            told.append(
                f"{name}: {live.name} reads it and the file's mapping does not, so the model learns nothing from it"
            )
        elif second is None:
            told.append(
                f"{name}: the file's mapping reads it and {live.name} does not, so serving never has what the model learned"
            )
        else:
            told += [f"{name}: {what}, {live.name} otherwise" for what in _differences(first, second)]
    return told


def _differences(past: FieldSpec, live: FieldSpec) -> list[str]:
    """What the file's mapping does that the live one does not, as the beginning of a sentence."""
    found = []
    if isinstance(past, TextField) and isinstance(live, TextField):
        if past.tokenise != live.tokenise:
            found.append(f"the file's mapping has {'tokens' if past.tokenise else 'plain values'} (tokenise)")
        if len(past.columns or ()) != len(live.columns or ()):
            found.append(f"the file's mapping joins {len(past.columns or '1')} column(s)")
    if (past.column or past.path) == (live.column or live.path):
        if isinstance(past, MoneyField) and isinstance(live, MoneyField) and past.unit != live.unit:
            found.append(f"the file's mapping takes the same column in {past.unit} units")
        if isinstance(past, TimeField) and isinstance(live, TimeField) and past.time_zone != live.time_zone:
            found.append(f"the file's mapping takes the same column in {past.time_zone}")
        if past.values != live.values:
            found.append("the file's mapping translates the same column by other `values`")
    return found
