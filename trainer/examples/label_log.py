"""Every label of a history, in memory, in the order in which it was read. Pure.

Some 40 bytes a label, and its transaction's id once: a history has millions of them.
"""

from array import array

from trainer.examples.labels import Revision

_NONE = -1


class LabelLog:
    """Takes labels one by one, gives all revisions of a transaction."""

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}
        """By transaction_id: the place of the label that was read last."""
        self._before = array("q")
        """The place of the label of the same transaction that was read before, or _NONE."""
        self._label_time_ms = array("q")
        self._said = array("i")
        self._words: dict[tuple[str, bool, str | None], int] = {}
        """Each source, verdict and kind once; `_said` holds their numbers."""
        self._spoken: list[tuple[str, bool, str | None]] = []

    def __len__(self) -> int:
        """Labelled transactions."""
        return len(self._newest)

    def add(self, transaction_id: str, fraud: bool, label_time_ms: int, source: str, kind: str | None = None) -> None:
        """Takes one label."""
        word = (source, fraud, kind)
        if word not in self._words:
            self._words[word] = len(self._spoken)
            self._spoken.append(word)
        self._before.append(self._newest.get(transaction_id, _NONE))
        self._newest[transaction_id] = len(self._label_time_ms)
        self._label_time_ms.append(label_time_ms)
        self._said.append(self._words[word])

    def list_revisions(self, transaction_id: str) -> tuple[Revision, ...]:
        """Every label of the transaction, the one that was read last first."""
        found, place = [], self._newest.get(transaction_id, _NONE)
        while place != _NONE:
            source, fraud, kind = self._spoken[self._said[place]]
            found.append(Revision(self._label_time_ms[place], place, source, fraud, kind))
            place = self._before[place]
        return tuple(found)

    def list_sources(self) -> set[str]:
        """Who labelled anything."""
        return {source for source, _, _ in self._words}

    def list_called_fraud(self) -> list[str]:
        """Transactions of which any label says fraud, each once, in the order in which those labels were read."""
        frauds = {number for (_, fraud, _), number in self._words.items() if fraud}
        if not frauds:
            return []
        return [name for name in self._newest if any(revision.fraud for revision in self.list_revisions(name))]
