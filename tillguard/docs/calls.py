"""Finds the calls of the command line in hand-written pages, and says what is wrong with each.

A page that shows a command which does not exist sends its reader nowhere, so `tillguard docs --check` reads them all.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tillguard.docs.command_rows import get_root_command

_FENCE = re.compile(r"^(?P<fence>```+)[^\n]*\n(?P<body>.*?)^(?P=fence)\s*$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`(tillguard(?: [^`]*)?)`(?!`)")
_PROMPT = re.compile(r"^\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(tillguard .*)$", re.MULTILINE)
_SHELL = {"|", "||", "&&", ";", "&", ">", ">>", "<", "2>", "2>&1", "#"}


@dataclass(frozen=True, slots=True)
class Call:
    """One call as a page shows it; a whole one stands on a line of its own in a block, to be copied."""

    text: str
    words: tuple[str, ...]
    whole: bool


def find_calls(page: str) -> Iterator[Call]:
    """Every call that the Markdown `page` shows, in blocks and in the running text."""
    for block in _FENCE.finditer(page):
        for line in _PROMPT.finditer(block["body"].replace("\\\n", " ")):
            yield _call(line[1], whole=True)
    for span in _SPAN.finditer(_FENCE.sub("", page)):
        yield _call(" ".join(span[1].split()), whole=False)


def _call(text: str, *, whole: bool) -> Call:
    try:
        words = shlex.split(text, comments=whole)
    except ValueError:
        words = text.split()
    end = next((place for place, word in enumerate(words) if word in _SHELL), len(words))
    return Call(text, tuple(words[1:end]), whole)


def find_fault(call: Call) -> str | None:
    """What is wrong with a call, or None: an unknown command or option, or (in a whole call) a missing argument."""
    command, name, words = get_root_command(), "tillguard", list(call.words)
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        if words[0].isupper() or words[0] in {"…", "..."}:
            return None  # a placeholder, as in `tillguard COMMAND --help`
        if words[0] not in command.commands:
            return f"{name} has no command {words[0]}"
        name, command = f"{name} {words[0]}", command.commands[words.pop(0)]
    return _fault_of_options(command, name, words, whole=call.whole)


def _fault_of_options(command: Any, name: str, words: list[str], *, whole: bool) -> str | None:
    options = {opt: p for p in command.params for opt in (*p.opts, *p.secondary_opts) if opt.startswith("-")}
    given: set[str] = set()
    values = 0
    left = iter(words)
    for word in left:
        option = word.partition("=")[0]
        if option == "--help":
            return None
        if not word.startswith("-"):
            values += 1
        elif option not in options:
            return f"{name} has no option {option}"
        else:
            given.add(options[option].name)
            if "=" not in word and not getattr(options[option], "is_flag", False):
                next(left, None)
    missing = [p for p in command.params if p.required and p.name not in given and p.opts[0].startswith("-")]
    arguments = sum(p.required for p in command.params if not p.opts[0].startswith("-"))
    if whole and hasattr(command, "commands") and not given:
        return f"{name} needs a command"
    if whole and missing:
        return f"{name} needs {missing[0].opts[0]}"
    return f"{name} needs {arguments} arguments" if whole and values < arguments else None


def find_page_faults(page: str) -> list[str]:
    """What is wrong with the calls that a Markdown page shows, each with the call."""
    return [f"`{call.text}`: {fault}" for call in find_calls(page) if (fault := find_fault(call)) is not None]
