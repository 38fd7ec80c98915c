"""Rules on their way to the workers: every version that was published, and which one serves. Topic `<retailer>.rules.v1`.

A version is named by a hash of what its rules say (scoring/rules/ruleset.py), so the same rules have the same name everywhere.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from contract.errors import InvalidEventError
from contract.events import Identifier, Moment

SERVING_KEY = "serving"
"""Kafka key of RulesServing, so that compaction keeps the newest. No version is named so: a version begins with `r-`."""
SOURCE_BYTES_MAX = 256 * 1024
"""Of a version's text in UTF-8: as JSON it stays below a broker's usual limit of 1 MB."""
MESSAGE_BYTES_MAX = 1024 * 1024
"""A larger message is refused by the reader before it is decoded."""
RulesVersionName = Annotated[str, Meta(pattern=r"^r-[0-9a-f]{12}$(?!\n)")]


class RulesVersion(Struct, frozen=True, kw_only=True, tag_field="type", tag="version"):
    """A version of the rules that may serve. Key = rules_version."""

    rules_version: RulesVersionName
    source: Annotated[str, Meta(max_length=SOURCE_BYTES_MAX)]
    """The YAML text."""
    made_at: Moment
    """When it was published."""
    made_by: Identifier
    note: Annotated[str, Meta(max_length=256)] = ""
    """What is new in it, for people."""


class RulesServing(Struct, frozen=True, kw_only=True, tag_field="type", tag="serving"):
    """From now on `rules_version` serves. Key = SERVING_KEY."""

    rules_version: RulesVersionName
    served_at: Moment
    served_by: Identifier
    reason: Annotated[str, Meta(max_length=256)]
    previous: RulesVersionName | None = None
    """The version that served before, to which a worker goes back that cannot use this one; null: none was on the topic."""


RulesMessage = RulesVersion | RulesServing

_DECODER = msgspec.json.Decoder(RulesMessage)


def read_message(value: bytes) -> RulesMessage:
    """The message in `value`; raises InvalidEventError for anything else, whatever the bytes."""
    if len(value) > MESSAGE_BYTES_MAX:
        raise InvalidEventError("oversized", f"{len(value)} bytes, at most {MESSAGE_BYTES_MAX}")
    try:
        message: RulesMessage = _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEventError("malformed", f"not a message of this topic: {type(error).__name__}") from None
    return message
