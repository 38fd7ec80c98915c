import base64
import json
import runpy
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from contract.codec import encode
from contract.schemas import build_asyncapi, build_json_schemas
from contract.topics import TOPICS

EXAMPLES = runpy.run_path(str(Path(__file__).parents[2] / "golden" / "examples.py"))["EXAMPLES"]
SCHEMAS = build_json_schemas()


def validator(name: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(SCHEMAS[name], validate_formats=True)


def test_every_message_of_every_topic_has_a_schema() -> None:
    on_topics = {f"{message.__name__}.v1" for topic in TOPICS for message in topic.messages}
    assert set(SCHEMAS) == on_topics | {"Manifest.v1"}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_a_schema_by_its_own_dialect(name: str) -> None:
    jsonschema_rs.meta.validate(SCHEMAS[name])


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_what_the_codec_writes_is_what_the_schema_describes(name: str) -> None:
    document = json.loads(encode(EXAMPLES[name]))
    validator(f"{type(EXAMPLES[name]).__name__}.v1").validate(document)


@pytest.mark.parametrize(
    "change",
    [
        {"transaction_id": "t\n"},
        {"retailer": "acme\n"},
        {"amount_minor": -1},
        {"amount_minor": 1.5},
        {"event_time": "yesterday"},
        {"currency": "euro"},
        {"origin": {}},
    ],
)
def test_the_schema_refuses_what_the_codec_refuses(change: dict[str, Any]) -> None:
    document = json.loads(encode(EXAMPLES["transaction-full"])) | change
    assert not validator("Transaction.v1").is_valid(document)


def test_bytes_travel_as_base64() -> None:
    document = json.loads(encode(EXAMPLES["feature-record-full"]))
    assert base64.b64decode(document["values"]) == EXAMPLES["feature-record-full"].values


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [reference for value in node.values() for reference in references(value)]
    return [reference for value in node for reference in references(value)] if isinstance(node, list) else []


def test_the_asyncapi_document_has_a_channel_and_an_operation_for_every_topic_and_no_loose_reference() -> None:
    document = build_asyncapi("1.2.3")
    assert document["asyncapi"] == "3.0.0"
    assert document["info"]["version"] == "1.2.3"
    assert {channel["address"] for channel in document["channels"].values()} == {t.name("{retailer}") for t in TOPICS}
    assert {op["channel"]["$ref"] for op in document["operations"].values()} == {f"#/channels/{t.kind}" for t in TOPICS}
    for reference in references(document):
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place


def test_every_channel_carries_the_messages_of_its_topic() -> None:
    channels = build_asyncapi("1")["channels"]
    for topic in TOPICS:
        assert set(channels[topic.kind]["messages"]) == {message.__name__ for message in topic.messages}
