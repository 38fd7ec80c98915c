"""What commands show cannot be used to write on the operator's screen."""

import io
import sys
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.dead_letters import DeadLetter
from runtime.kafka.topic_log import Record
from tillguard import cli
from tillguard.commands import dead_letters
from tillguard.operations.dead_letter_desk import Filed
from tillguard.views.terminal import VisibleStream, escape_invisible

HOSTILE = "x\nreason     fine\x1b[2J\x1b]0;owned\x07\x9b31m\r\u202egpj.exe\u200b[/bold] [red]x\x1b[8mhidden"


@given(text=st.text(st.characters(max_codepoint=0x3000)))
def test_only_line_ends_tabs_and_colours_are_left_of_what_moves_a_terminal(text: str) -> None:
    shown = escape_invisible(text)
    assert all(ord(c) >= 32 or c in "\n\t\x1b" for c in shown)
    assert escape_invisible(shown) == shown
    if text.isalnum():
        assert shown == text


def test_escapes_are_shown_as_text_and_colours_stay() -> None:
    assert escape_invisible("\x1b[2J\x9b\r\u202e") == "\\x1b[2J\\x9b\\r\\u202e"
    assert escape_invisible("\x1b[1;31mred\x1b[0m\n\t") == "\x1b[1;31mred\x1b[0m\n\t"


def test_a_stream_is_otherwise_the_one_that_it_wraps() -> None:
    inner = io.StringIO()
    stream = VisibleStream(inner)
    assert stream.write("a\x07") == 2
    stream.writelines(["b", "\x08"])
    assert inner.getvalue() == "a\\x07b\\x08"
    assert stream.isatty() is False


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["show", "0:0"]])
def test_a_hostile_dead_letter_is_shown_in_full_and_moves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    letter = DeadLetter(
        retailer="shop",
        part="scoring",
        reason=HOSTILE,
        detail=HOSTILE,
        source=HOSTILE,
        position=HOSTILE,
        failed_at=datetime(2026, 5, 1, tzinfo=UTC),
        key=HOSTILE,
        payload=HOSTILE.encode(),
    )
    filed = Filed(Record("shop.dead-letters.v1", 0, 0, b"k", msgspec.json.encode(letter)), letter)
    monkeypatch.setattr(dead_letters, "_standing", lambda *_: [filed])
    monkeypatch.setattr(sys, "argv", ["tillguard", "dead-letters", *arguments])
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    shown = capsys.readouterr().out
    assert ended.value.code in (0, None)
    assert "gpj.exe" in shown.replace("\n", "")
    assert not any(c in shown for c in "\x07\x9b\r\u202e\u200b")
    assert "\x1b[2J" not in shown
    assert "\nreason     fine" not in shown
