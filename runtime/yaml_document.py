"""YAML with the line of every key, so that each fault of a file names the place to look at; a key that stands twice is a fault. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from contract.errors import ConfigurationError


class Document:
    """A parsed YAML text and where each part of it stands."""

    def __init__(self, text: str, where: str) -> None:
        """Raises ConfigurationError for text that is not YAML, or names a key twice in one mapping.

        Args:
            text: The file's content.
            where: The file's name, for the faults.
        """
        self.where = where
        loader = None
        try:
            loader = yaml.SafeLoader(text)
            self._root = loader.get_single_node()
            self.value: Any = loader.construct_document(self._root) if self._root is not None else None
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or "contains a value that cannot be read"
            raise ConfigurationError([f"{where}:{mark.line + 1 if mark else 1}: not valid YAML: {problem}"]) from None
        finally:
            if loader is not None:
                loader.dispose()
        self.faults = _duplicates(self._root, where)

    def find_line(self, path: Sequence[str | int]) -> int:
        """The line (from 1) of the deepest part of `path` that the text has; unknown steps are passed over."""
        node = self._root
        line = 1
        for step in path:
            if isinstance(node, yaml.MappingNode):
                pair = next(((k, v) for k, v in node.value if k.value == str(step)), None)
                if pair is not None:
                    line, node = pair[0].start_mark.line + 1, pair[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line + 1
        return line

    def describe_fault(self, path: Sequence[str | int], message: str) -> str:
        """`file:line: path: message`."""
        known = [str(step) for step in path]
        return f"{self.where}:{self.find_line(path)}: {'.'.join(known) or '(whole file)'}: {message}"


def _duplicates(root: yaml.Node | None, where: str) -> list[str]:
    """Keys that a mapping names twice; YAML would silently keep the last. Every node is looked at once: an alias may lead back to it."""
    found: list[str] = []
    left, visited = [root], set[int]()
    while left:
        node = left.pop()
        if id(node) in visited:
            continue
        visited.add(id(node))
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, _ in node.value:
                if str(key.value) in seen:
                    found.append(f"{where}:{key.start_mark.line + 1}: {key.value}: named twice")
                seen.add(str(key.value))
            left.extend(value for _, value in reversed(node.value))
        elif isinstance(node, yaml.SequenceNode):
            left.extend(reversed(node.value))
    return found


def load(text: str, where: str) -> Any:
    """The value of a YAML text, read from `where`; raises ConfigurationError where it is none, or names a key twice in one mapping."""
    document = Document(text, where)
    if document.faults:
        raise ConfigurationError(document.faults)
    return document.value


def expect_mapping(document: Document) -> Mapping[str, Any]:
    """The document as a mapping; raises ConfigurationError when it is something else."""
    if not isinstance(document.value, dict):
        raise ConfigurationError([f"{document.where}:1: expected a mapping with `source` and `transactions`"])
    return document.value
