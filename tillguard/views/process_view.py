"""What `processes` prints. Pure."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from contract.status.words import Heard, describe_process, judge_state, name_process
from tillguard.views.terminal import escape_line


def format_lines(shown: Sequence[Heard], now: datetime) -> list[str]:
    """A line for each process, its warnings below it."""
    names = [name_process(heard.status) for heard in shown]
    width = max(map(len, names), default=0)
    lines = []
    for name, heard in zip(names, shown, strict=True):
        lines.append(f"{name:<{width}}  {describe_process(heard, now)}")
        if judge_state(heard, now) == "running":
            lines += [f"{'':<{width}}  warning: {warning}" for warning in heard.status.condition.warnings]
    return [escape_line(line) for line in lines]


def format_documents(shown: Sequence[Heard], now: datetime) -> str:
    """A JSON list: what each process said, whether it runs, and the same in words."""
    documents = [
        {
            "name": name_process(heard.status),
            "state": judge_state(heard, now),
            "words": describe_process(heard, now),
            "age_s": round(heard.measure_age_s(now), 3),
            "status": msgspec.to_builtins(heard.status),
        }
        for heard in shown
    ]
    return msgspec.json.format(msgspec.json.encode(documents), indent=2).decode()
