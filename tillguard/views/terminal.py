"""What commands show on a terminal: text that others wrote can neither move the cursor nor hide anything.

Dead letters, verdicts, names and rows come from topics and tables that others write. A control character among them could rewrite the
screen, or what is copied from it. Commands' output goes through `VisibleStream`, which shows such characters as escapes.
"""

import re
from typing import Any, TextIO

_COLOUR = r"\x1b\[[0-9;]*m"
_HIDDEN = re.compile(
    rf"{_COLOUR}|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)


def escape_invisible(text: str) -> str:
    """`text` with every control, direction and invisible character as an escape; line ends, tabs and colours stay."""
    return _HIDDEN.sub(_shown, text)


def escape_line(text: str) -> str:
    """`escape_invisible`, and line ends as escapes too: one field cannot look like the next one."""
    return escape_invisible(text).replace("\n", "\\n")


def _shown(match: "re.Match[str]") -> str:
    found = match.group()
    return found if len(found) > 1 else found.encode("unicode_escape", "surrogatepass").decode()


class VisibleStream:
    """A text stream that shows what it is given by `escape_invisible`; in all else it is the stream that it wraps."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Gives the length of `text`, as every text stream does."""
        self._stream.write(escape_invisible(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """As write, for each line."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
