"""Every setting as a row, read off the settings' own types; the settings page and the checks of deployments use it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from contract.settings import BackofficeFile, Settings
from tillguard.docs.markdown import NONE

PROCESS_VARIABLES = {
    "TILLGUARD_STATE": "folder of this machine's state (default `.tillguard`): the embedded stack and one folder per retailer",
    "TILLGUARD_CONFIG": "settings file, where neither `--config` nor the state folder's file of the retailer is meant",
    "TILLGUARD_CACHE": "folder of downloads of the embedded stack, shared by all state folders (default: the user's cache folder)",
    "TILLGUARD_MAVEN_URL": "mirror of Maven Central that the embedded stack downloads from",
}
"""Variables that are no settings, because they say where settings are."""


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting as the page and the checks of deployments see it."""

    name: str
    kind: str
    default: str
    text: str

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        return "TILLGUARD_" + self.name.replace(".", "__").upper()


def list_setting_rows() -> list[SettingRow]:
    """Every setting, in the order of the code; a section's fields carry its name as prefix."""
    rows = {row.name: row for kind in (Settings, BackofficeFile) for row in _list_rows_of(kind)}
    return list(rows.values())


def _list_rows_of(kind: type[BaseModel]) -> Iterator[SettingRow]:
    document = kind.model_json_schema()
    return _rows(kind, document, document["$defs"], "", None)


def _rows(
    model: type[BaseModel], node: dict[str, Any], definitions: dict[str, Any], prefix: str, section: FieldInfo | None
) -> Iterator[SettingRow]:
    """`section`: where the model stands, which may have defaults of its own, and something to say of all below it."""
    own = section.get_default(call_default_factory=True) if section is not None else None
    remark = f"{section.description}: " if section is not None and section.description else ""
    for name, field in model.model_fields.items():
        described = node["properties"][name]
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            below = definitions[field.annotation.__name__]
            yield from _rows(field.annotation, below, definitions, f"{prefix}{name}.", field)
        else:
            yield SettingRow(
                prefix + name, _kind(described), _default(field, own, name), remark + (field.description or "")
            )


def _kind(node: dict[str, Any]) -> str:
    if "anyOf" in node:
        return " or ".join(_kind(choice) for choice in node["anyOf"] if choice.get("type") != "null") + ", optional"
    if "enum" in node:
        return " \\| ".join(f"`{value}`" for value in node["enum"])
    if node.get("type") == "object":
        return f"map of name to {_kind(_values(node))}"
    if node.get("type") == "array":
        return f"list of {_kind(node['items'])}"
    by_format = {"password": "secret text", "path": "path", "date-time": "time"}
    by_type = {"integer": "whole number", "number": "number", "boolean": "`true` \\| `false`", "string": "text"}
    kind = by_format.get(node.get("format", "")) or by_type[node["type"]]
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {node[key]:,.15g}" for key, sign in signs.items() if key in node]
    pattern = node.get("pattern", "").replace("|", "\\|")  # a bar alone would end the cell
    return ", ".join([kind, *bounds]) + (f", as `{pattern}`" if pattern else "")


def _values(node: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = node.get("additionalProperties") or next(iter(node["patternProperties"].values()))
    return described


def _default(field: FieldInfo, section: BaseModel | None, name: str) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True) if section is None else getattr(section, name)
    value = value.get_secret_value() if isinstance(value, SecretStr) else value
    if value is None or value == {}:
        return NONE
    value = list(value) if isinstance(value, tuple) else value
    return (
        f"`{value.isoformat()}`"
        if hasattr(value, "isoformat")
        else f"`{value}`".replace("True", "true").replace("False", "false")
    )
