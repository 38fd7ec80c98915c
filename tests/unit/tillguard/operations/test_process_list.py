"""Which statuses count, and how they are printed."""

import json
from datetime import timedelta

from msgspec.structs import replace

from contract.clock import from_epoch_ms
from contract.codec import encode
from contract.status.message import Condition, ProcessStatus, build_key
from runtime.kafka.topic_log import Record
from tillguard.operations.process_list import keep_newest
from tillguard.views.process_view import format_documents, format_lines

AT_MS = 1_790_000_000_000
NOW = from_epoch_ms(AT_MS)


def status(process: str = "host-1", **changes: object) -> ProcessStatus:
    told = ProcessStatus(
        retailer="acme", part="scoring", process=process, version="1", started_at=NOW, sent_at=NOW, every_s=5.0,
        condition=Condition(activity="scoring", healthy=True, partitions=[0], warnings=["windows are\nshort"]),
    )  # fmt: skip
    return replace(told, **changes)


def record(told: ProcessStatus, appended_ms: int = AT_MS) -> Record:
    return Record("acme.status.v1", 0, 0, build_key(told), encode(told), appended_ms)


def test_the_newest_status_of_each_process_counts_with_the_broker_s_time() -> None:
    first, second = status(), status(stopped=True)
    found = keep_newest([record(first, 1), record(status("host-2"), 2), record(second, 3)], "acme")
    assert [(one.status.process, one.status.stopped, one.at) for one in found] == [
        ("host-2", False, from_epoch_ms(2)),
        ("host-1", True, from_epoch_ms(3)),
    ]


def test_tombstones_garbage_and_statuses_of_others_name_nobody() -> None:
    garbage = [record(status())._replace(value=value) for value in (b"{", b"[" * 60_000, b"\xff", None)]
    assert keep_newest([record(status()), *garbage], "acme") == []
    assert keep_newest([record(status(retailer="other"))], "acme") == []


def test_a_line_says_how_a_process_is_and_warnings_stand_below_it() -> None:
    heard = keep_newest([record(status()), record(status("longer-host-2", part="trainer", stopped=True))], "acme")
    assert format_lines(heard, NOW + timedelta(seconds=7)) == [
        "scoring host-1         1 partition, ready",
        "                       warning: windows are\\nshort",
        "trainer longer-host-2  stopped 7 s ago",
    ]


def test_a_document_holds_the_words_and_what_was_said() -> None:
    (shown,) = json.loads(format_documents(keep_newest([record(status())], "acme"), NOW + timedelta(seconds=40)))
    assert (shown["name"], shown["state"], shown["age_s"]) == ("scoring host-1", "gone", 40.0)
    assert shown["words"] == "gone: last heard of 40 s ago"
    assert shown["status"]["condition"]["partitions"] == [0]
