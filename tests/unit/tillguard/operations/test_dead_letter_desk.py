"""Retry: a letter chooses among the retailer's own records and connectors, whatever a stranger wrote into it."""

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from contract.codec import Decoder, encode
from contract.dead_letters import DeadLetter
from contract.errors import TransientError
from contract.settings import parse
from contract.topics import TOPICS
from runtime.kafka.producer import KeyValue
from runtime.kafka.topic_log import Record
from tillguard.operations import dead_letter_desk
from tillguard.operations.dead_letter_desk import SENT_AGAIN, Filed, Retry

FORGED = b"bytes of a stranger"


class Log:
    """A topic's reader and writer in memory: one record stands at partition 1, offset 7."""

    def __init__(self, record: Record | None = None) -> None:
        self.record = record
        self.asked: list[tuple[str, int, int]] = []
        self.sent: list[tuple[str, bytes, bytes | None, int | None]] = []

    def read_at(self, topic: str, partition: int, offset: int) -> Record | None:
        self.asked.append((topic, partition, offset))
        return self.record if (partition, offset) == (1, 7) else None

    def deliver(self, topic: str, messages: Sequence[KeyValue], partition: int | None = None) -> None:
        self.sent += [(topic, key, value, partition) for key, value in messages]


def letter(**changes: Any) -> DeadLetter:
    given: dict[str, Any] = {
        "retailer": "shop",
        "part": "scoring",
        "reason": "malformed",
        "detail": "x",
        "source": "shop.transactions.v1",
        "position": "1:7",
        "failed_at": datetime(2026, 5, 1, tzinfo=UTC),
        "key": "k",
        "payload": FORGED,
    }
    return Decoder(DeadLetter).decode(encode(DeadLetter(**{**given, **changes})))


def retried(monkeypatch: pytest.MonkeyPatch, log: Log, folder: Path, *letters: DeadLetter) -> list[str | None]:
    monkeypatch.setattr(dead_letter_desk, "TopicReader", lambda _: log)
    monkeypatch.setattr(dead_letter_desk, "SharedProducer", lambda *_: nullcontext(log))
    desk = Retry(parse({"retailer": "shop"}, where="s"), folder)
    filed = [Filed(Record("shop.dead-letters.v1", 0, i, b"k", b""), each) for i, each in enumerate(letters)]
    return [why for _, why in desk.retry(filed)]


def test_the_record_itself_is_sent_again_and_never_what_the_letter_brings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = Log(Record("shop.transactions.v1", 1, 7, b"t1", b"the record"))
    assert retried(monkeypatch, log, tmp_path, letter()) == [None]
    assert log.sent == [("shop.transactions.v1", b"t1", b"the record", 1), ("shop.dead-letters.v1", b"k", None, 0)]


@pytest.mark.parametrize("source", sorted({topic.name("shop") for topic in TOPICS} | {
    "other.transactions.v1", "shop.transactions.v1\n", "shop.", "", "../shop.transactions.v1", "shop.transactions.v2",
}))  # fmt: skip
def test_only_topics_that_shops_and_analysts_write_are_written_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str
) -> None:
    allowed = {topic.name("shop") for topic in SENT_AGAIN}
    assert "shop.models.v1" not in allowed
    log = Log(Record(source, 1, 7, b"t1", b"the record"))
    (why,) = retried(monkeypatch, log, tmp_path, letter(source=source))
    assert (why is None) == (source in allowed)
    if source not in allowed:
        assert (log.asked, log.sent) == ([], [])


@pytest.mark.parametrize(
    "position", ["1:8", "0:7", "1:", "²:7", "1:7:7", "-1:7", "1:" + "9" * 30, "../1:7", "1:7 ", "x"]
)
def test_a_place_without_a_record_sends_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, position: str) -> None:
    log = Log(Record("shop.transactions.v1", 1, 7, b"t1", b"the record"))
    (why,) = retried(monkeypatch, log, tmp_path, letter(position=position))
    assert why is not None
    assert log.sent == []


CONNECTOR = """\
name: {name}
source: {{kind: mysql, host: 127.0.0.1, port: 1, user: u, password_env: {variable}, database: shop}}
transactions:
  table: orders
  fields: {{transaction_id: id, event_time: at, amount: a, currency: {{constant: EUR}}}}
"""


def test_a_name_never_becomes_a_path_and_no_secret_is_read_for_another_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "retailer" / "connectors"
    folder.mkdir(parents=True)
    (tmp_path / "evil.yaml").write_text(CONNECTOR.format(name="evil", variable="HOME"))
    (folder / "orders.yaml").write_text(CONNECTOR.format(name="orders", variable="NOT_SET_ANYWHERE"))
    (folder / "broken.yaml").write_text("name: [")
    names = ["../../evil", "/tmp/evil", "evil", "", "..", "orders.yaml", "Orders", "orders\n", "broken"]
    letters = [letter(part=f"connector:{name}", source="shop.orders") for name in names]
    letters.append(letter(part="connector:orders", source="elsewhere.orders"))
    reasons = retried(monkeypatch, Log(), folder, *letters)
    assert None not in reasons
    assert not any("NOT_SET_ANYWHERE" in str(reason) for reason in reasons)
    unnamed = [reason for name, reason in zip(names, reasons, strict=False) if name not in ("evil", "broken")]
    assert set(unnamed) == {"it names no connector"}, "and nothing of what the letter says instead"
    (own,) = retried(monkeypatch, Log(), folder, letter(part="connector:orders", source="shop.orders"))
    assert "NOT_SET_ANYWHERE is not set" in str(own)
    (folder / "orders.yaml").rename(folder / "a-file-of-another-name.yaml")
    (own,) = retried(monkeypatch, Log(), folder, letter(part="connector:orders", source="shop.orders"))
    assert "NOT_SET_ANYWHERE is not set" in str(own)


def test_one_letter_that_fails_does_not_keep_the_others_from_their_retry(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Odd(Log):
        def read_at(self, topic: str, partition: int, offset: int) -> Record | None:
            if offset == 9:
                raise OverflowError("a value of the letter")
            if offset == 10:
                raise TransientError("Kafka is away")
            return super().read_at(topic, partition, offset)

    log = Odd(Record("shop.labels.v1", 1, 7, b"t1", b"the record"))
    good = letter(source="shop.labels.v1")
    odd, fine = retried(monkeypatch, log, tmp_path, letter(position="1:9"), good)
    assert fine is None
    assert "OverflowError" in str(odd)
    assert "a value of the letter" not in str(odd)
    with pytest.raises(TransientError):
        retried(monkeypatch, log, tmp_path, letter(position="1:10"), good)


def test_a_letter_stands_until_its_record_is_delivered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Away(Log):
        def deliver(self, topic: str, messages: Sequence[KeyValue], partition: int | None = None) -> None:
            super().deliver(topic, messages, partition)
            raise TransientError("Kafka is away")

    log = Away(Record("shop.transactions.v1", 1, 7, b"t1", b"the record"))
    with pytest.raises(TransientError):
        retried(monkeypatch, log, tmp_path, letter())
    assert [topic for topic, *_ in log.sent] == ["shop.transactions.v1"]
