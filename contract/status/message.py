"""What a process says of itself every few seconds. Topic `<retailer>.status.v1`, key `<part>/<process>`.

Nothing here is personal data: a scan's position is told as numbers of rows, never as the key that it stands at.
"""

from typing import Annotated

from msgspec import Meta, Struct

from contract.events import Identifier, Moment, RetailerName, ShortText

TEXT_MAX = 1024
REASONS_MAX = 16
PARTITIONS_MAX = 1000

Count = Annotated[int, Meta(ge=0)]
Amount = Annotated[float, Meta(ge=0)]
Sentence = Annotated[str, Meta(max_length=TEXT_MAX)]
Sentences = Annotated[list[Sentence], Meta(max_length=REASONS_MAX)]

ACTIVITIES = {
    "starting": "opens what it needs",
    "reading": "reads a table, collection or file as it stands",
    "streaming": "follows the changes of its source",
    "scoring": "answers transactions",
    "collecting": "takes in feature records and labels",
    "training": "trains a model",
    "taking_part": "takes part in a federation",
    "serving": "answers people and checkouts",
}
"""What a process can be doing."""


class Lag(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a process is behind."""

    records: Count | None = None
    """Not yet read, or read and not finished, over all that it reads."""
    seconds: Amount | None = None
    """Age of the newest one taken while others wait; 0 where nothing waits."""


class Progress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a connector has read a table, collection or file as it stands."""

    name: Annotated[str, Meta(max_length=256)]
    """Of the table or collection; empty for a file."""
    rows: Count
    """Read so far, earlier starts included."""
    rows_total: Count | None = None
    """An estimate of all its rows; absent where the source cannot tell."""
    rows_per_s: Amount | None = None
    """Over the last minute."""
    left_s: Amount | None = None
    """Until this one is read, at that pace."""
    tables_after: Count = 0
    """Tables or collections that are read after this one."""


class Condition(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a process is at one moment."""

    activity: ShortText
    """A code of ACTIVITIES; a reader shows one that it does not know as it is."""
    healthy: bool
    """What `/ready` of a worker and `/health` of any other process says."""
    reasons: Sentences = []
    """Why it is not healthy, each with its remedy."""
    warnings: Sentences = []
    """What does not keep it from working, but should be known."""
    lag: Lag | None = None
    position: Sentence = ""
    """Where it stands, in its own notation."""
    progress: Progress | None = None
    """Only while a connector reads what stands there."""
    partitions: Annotated[list[Count], Meta(max_length=PARTITIONS_MAX)] | None = None
    """That a worker has; absent until its group has answered, empty where there are more workers than partitions."""
    model_version: Identifier | None = None
    """That serves."""
    rules_version: Identifier | None = None
    """That decide."""
    breaker_open: bool | None = None
    """Absent where no breaker is set, or nothing is known of it."""


class ProcessStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A heartbeat: who a process is, and how it is."""

    retailer: RetailerName
    part: ShortText
    """`connector:<name>`, `scoring`, `trainer`, `federation` or `backoffice`."""
    process: Identifier
    """`<host>-<pid>`: the same for as long as it lives."""
    version: ShortText
    """Of Tillguard."""
    started_at: Moment
    sent_at: Moment
    """By the clock of its machine; the record's own time is the broker's."""
    every_s: Annotated[float, Meta(gt=0)]
    """How often it speaks, so that a reader knows when it is missing."""
    condition: Condition
    stopped: bool = False
    """The last word of a process that ended in order."""


def build_key(status: ProcessStatus) -> bytes:
    """The record's key: one process, of which the newest record counts."""
    return f"{status.part}/{status.process}".encode()


def clip_sentences(sentences: list[str]) -> list[str]:
    """As many of them, and as much of each, as a message takes."""
    return [sentence[:TEXT_MAX] for sentence in sentences[:REASONS_MAX]]
