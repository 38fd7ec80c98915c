"""The change stream of one collection: opens when first read, knows where it could continue, and steps over what is too large.

A change event of more than 16 MB cannot be sent. Three things keep that from stopping a connector: only mapped fields are asked
for; servers that can split an event do so; and where it still happens, events are read one by one up to the large one, of which
then only the key is read. It becomes a dead letter with that key, which a retry reads from the collection itself.
"""

import time
from collections.abc import Iterator
from typing import Any

from pymongo.errors import PyMongoError

from connectors.mongodb.documents import OVERSIZED
from connectors.mongodb.faults import TooLargeError, translated
from connectors.mongodb.position import CollectionStart
from contract.errors import PositionDeadError, TransientError

EVENTS_AT_ONCE = 500
"""Read from one stream before the next has its turn."""
AWAIT_MS = 100
"""How long the server may wait for the next transaction before it answers empty."""
ASIDE_S = 0.2
"""Pause between looks at a quiet collection of labels."""
ALONE_S = 10.0
"""Within this time a server shows an event that is there."""
_FIELDS = ("operationType", "clusterTime", "documentKey")
_DESCRIPTION = ("updatedFields", "removedFields", "truncatedArrays")

Event = dict[str, Any]


class ChangeStream:
    """Used by one thread."""

    def __init__(
        self, collection: Any, start: CollectionStart, *, fields: list[str], patient: bool, splits: bool
    ) -> None:
        """Opens nothing yet.

        Args:
            collection: The driver's.
            start: Where to continue.
            fields: Top-level fields of documents that are needed.
            patient: Whether to wait a moment for events when there are none.
            splits: Whether the server can split large events.
        """
        self.name: str = collection.name
        self.start = start
        self.due = 0.0
        """Monotonic time of the next turn."""
        self._collection = collection
        self._patient = patient
        shown = [*_FIELDS, *(f"updateDescription.{name}" for name in _DESCRIPTION)]
        shown += [f"fullDocument.{name}" for name in fields]
        self._pipeline: list[dict[str, Any]] = [{"$project": dict.fromkeys(shown, 1)}]
        if splits:
            self._pipeline.append({"$changeStreamSplitLargeEvent": {}})
        self._stream: Any = None
        self._singly = False
        """Events come one at a time, so that the one that is too large is known."""
        self._parts: Event = {}

    def read(self) -> Iterator[Event]:
        """What is there now, at most EVENTS_AT_ONCE events; `start` follows."""
        for _ in range(EVENTS_AT_ONCE):
            event = self._whole()
            if event is None:
                self.due = 0.0 if self._patient else time.monotonic() + ASIDE_S
                break
            self.start = CollectionStart(token=event["_id"])
            if event["operationType"] == "invalidate":
                # the collection was dropped or renamed; a stream started after this sees the next of that name
                self.close()
                break
            yield event
        token = self._stream.resume_token if self._stream is not None and not self._parts else None
        if token is not None:
            self.start = CollectionStart(token=token)

    def close(self) -> None:
        """Leaves the server; never raises."""
        stream, self._stream = self._stream, None
        self._parts = {}
        if stream is not None:
            try:
                stream.close()
            except PyMongoError:
                return

    def _whole(self) -> Event | None:
        """The next event, its fragments put together; None while there is none."""
        while (event := self._next()) is not None:
            split = event.pop("splitEvent", None)
            if split is None:
                return event
            self._parts |= event
            if split["fragment"] == split["of"]:
                whole, self._parts = self._parts, {}
                return whole
        return None

    def _next(self) -> Event | None:
        try:
            return self._ask()
        except TooLargeError:
            self.close()
            if not self._singly:
                self._singly = True
                return None
        self._singly = False
        return self._key_of_next()

    def _ask(self) -> Event | None:
        if self._stream is None:
            with translated(opening=self.start.token is not None):
                self._stream = self._open(self._pipeline, full_document="updateLookup")
                first: Event | None = self._stream.try_next()
                return first
        with translated():
            following: Event | None = self._stream.try_next()
            return following

    def _key_of_next(self) -> Event:
        """The event after `start` without its document; the stream continues behind it."""
        pipeline = [{"$project": dict.fromkeys(_FIELDS, 1)}]
        until = time.monotonic() + ALONE_S
        try:
            with translated(opening=self.start.token is not None), self._open(pipeline) as stream:
                while time.monotonic() < until:
                    event: Event | None = stream.try_next()
                    if event is not None:
                        return event | {OVERSIZED: True}
        except TooLargeError as error:
            raise PositionDeadError(f"{error}, not even without its document") from None
        raise TransientError(f"MongoDB did not show again the large change event of {self.name}")

    def _open(self, pipeline: list[dict[str, Any]], **options: Any) -> Any:
        where: dict[str, Any] = (
            {"start_at_operation_time": self.start.at}
            if self.start.token is None
            else {"start_after": self.start.token}
        )
        wait_ms = AWAIT_MS if self._patient else 1
        batch = {"batch_size": 1} if self._singly else {}
        return self._collection.watch(pipeline, max_await_time_ms=wait_ms, **batch, **where, **options)
