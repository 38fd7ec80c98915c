"""JSON Schemas and the AsyncAPI document with what the code says under each field."""

import ast
import inspect
import json
import textwrap
from itertools import pairwise
from typing import Any

import msgspec
import yaml

from contract.models import Manifest
from contract.schemas import build_asyncapi, build_json_schemas
from contract.topics import TOPICS
from tillguard import __version__


def read_field_texts(message: type) -> dict[str, str]:
    """What the code says under each field of a message type, in one line."""
    body = ast.parse(textwrap.dedent(inspect.getsource(message))).body[0]
    statements = body.body if isinstance(body, ast.ClassDef) else []
    texts = {}
    for field, after in pairwise(statements):
        said = after.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else None
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and said is not None:
            texts[field.target.id] = " ".join(str(said.value).split())
    return texts


def _message_types() -> dict[str, type]:
    found: dict[str, type] = {}
    waiting: list[Any] = [message for topic in TOPICS for message in topic.messages] + [Manifest]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__name__ not in found:
            found[kind.__name__] = kind
            waiting.extend(field.type for field in msgspec.structs.fields(kind))
        else:
            waiting.extend(getattr(kind, "__args__", ()))
    return found


def _describe(node: dict[str, Any], types: dict[str, type]) -> None:
    """Adds the fields' texts to a schema and to the definitions below it, in place."""
    texts = read_field_texts(types[node["title"]])
    for name, described in node.get("properties", {}).items():
        if name in texts:
            described["description"] = texts[name]
    for below in node.get("$defs", {}).values():
        _describe(below, types)


def build_schema_files() -> dict[str, str]:
    """`schemas/<Message>.v1.json` for every message, and `asyncapi.yaml`."""
    types = _message_types()
    files = {}
    for name, document in build_json_schemas().items():
        _describe(document, types)
        files[f"schemas/{name}.json"] = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    events = build_asyncapi(__version__)
    for document in events["components"]["schemas"].values():
        _describe(document, types)
    files["asyncapi.yaml"] = (
        "# Written by `tillguard docs` from the code; changes by hand are lost.\n"
        + yaml.safe_dump(events, sort_keys=False, allow_unicode=True, width=120)
    )
    return files
