"""JSON Schemas and the AsyncAPI document, generated from the messages; `docs/schemas/` holds the result, CI checks for drift."""

from typing import Any

import msgspec

from contract.models import Manifest
from contract.topics import TOPICS


def build_json_schemas() -> dict[str, dict[str, Any]]:
    """One self-contained JSON Schema (2020-12) per message and for a package's manifest, by file name without ending."""
    messages: list[type[msgspec.Struct]] = [message for topic in TOPICS for message in topic.messages]
    messages.append(Manifest)
    return {f"{message.__name__}.v1": _self_contained(message) for message in messages}


def _self_contained(message: type[msgspec.Struct]) -> dict[str, Any]:
    schema = msgspec.json.schema(message)
    definition = schema["$defs"].pop(message.__name__)
    if not schema["$defs"]:
        del schema["$defs"]
    del schema["$ref"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **definition, **schema}


def build_asyncapi(version: str) -> dict[str, Any]:
    """The AsyncAPI 3.0 document of every topic; `version` is the product's."""
    messages = [message for topic in TOPICS for message in topic.messages]
    _, definitions = msgspec.json.schema_components(messages, ref_template="#/components/schemas/{name}")
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for topic in TOPICS:
        channels[topic.kind] = {
            "address": "{retailer}." + topic.kind + ".v1",
            "description": f"{topic.text}; key: {topic.key}",
            "parameters": {"retailer": {"description": "the retailer's name"}},
            "messages": {
                message.__name__: {"$ref": f"#/components/messages/{message.__name__}"} for message in topic.messages
            },
        }
        operations[f"read_{topic.kind.replace('-', '_')}"] = {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{topic.kind}"},
            "summary": topic.text,
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tillguard",
            "version": version,
            "description": "Topics of one retailer. All messages are JSON; schemas only grow within a topic version.",
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": {
                message.__name__: {
                    "name": message.__name__,
                    "contentType": "application/json",
                    "payload": {"$ref": f"#/components/schemas/{message.__name__}"},
                }
                for message in messages
            },
            "schemas": definitions,
        },
    }
