"""Access tokens for the hot path: looked up in memory, asked of the database again every RECHECK_S.

A token that was revoked by another process is refused within RECHECK_S and the time of one query; one that this process revoked, at
once. While the database does not answer, a token that was good a short while ago still is: a checkout does not stop because accounts
are away, and nobody can revoke a token then either.
"""

import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from backoffice.accounts.access_tokens import AccessToken, AccessTokens
from backoffice.accounts.principal import Principal
from backoffice.accounts.token_text import hash_token, parse_token
from contract.clock import Clock
from contract.errors import TransientError

RECHECK_S = 2.0
STALE_S_MAX = 300.0
"""How long a token stays good without an answer of the database."""
ENTRIES_MAX = 10_000
USE_NOTED_EVERY = timedelta(hours=1)


@dataclass(slots=True)
class _Entry:
    token: AccessToken
    principal: Principal
    confirmed_s: float
    check_s: float


class TokenCache:
    """Who shows a token; used by any number of threads."""

    def __init__(self, tokens: AccessTokens, clock: Clock, *, entries_max: int = ENTRIES_MAX) -> None:
        self._tokens = tokens
        self._clock = clock
        self._entries_max = entries_max
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._forgotten = 0
        """How often something was forgotten: an answer that was asked for before that is not kept."""

    def find_remembered(self, text: str) -> Principal | None:
        """Who shows `text`, as far as that is known without asking; never blocks."""
        digest, now_s = hash_token(text), self._clock.monotonic_s()
        with self._lock:
            entry = self._entries.get(digest)
            if entry is None or _is_due(entry, now_s) or not entry.token.is_usable(self._clock.now()):
                return None
            self._entries.move_to_end(digest)
            return entry.principal

    def authenticate(self, text: str) -> Principal | None:
        """Who shows `text`; None for everything that is no usable token, whatever the reason.

        Raises TransientError where the database does not answer and the token was not seen within STALE_S_MAX.
        """
        if parse_token(text) is None:
            return None
        digest = hash_token(text)
        entry, is_due, forgotten = self._look_up(digest)
        if is_due:
            entry = self._ask(digest, entry, forgotten)
        if entry is None or not entry.token.is_usable(self._clock.now()):
            return None
        return entry.principal

    def forget(self, token_id: str) -> None:
        """Asks the database the next time that this token is shown."""
        with self._lock:
            self._forgotten += 1
            for digest in [key for key, entry in self._entries.items() if entry.token.token_id == token_id]:
                del self._entries[digest]

    def _look_up(self, digest: str) -> tuple[_Entry | None, bool, int]:
        """What is known, and whether the caller asks again: where it is time to, one does and others take what is known meanwhile."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            entry = self._entries.get(digest)
            if entry is None:
                return None, True, self._forgotten
            self._entries.move_to_end(digest)
            if is_due := _is_due(entry, now_s):
                entry.check_s = now_s + RECHECK_S
            return entry, is_due, self._forgotten

    def _ask(self, digest: str, known: _Entry | None, forgotten: int) -> _Entry | None:
        now_s = self._clock.monotonic_s()
        try:
            token = self._tokens.find_by_hash(digest)
        except TransientError:
            if known is None or now_s - known.confirmed_s > STALE_S_MAX:
                raise
            return known
        if token is None or not token.is_usable(self._clock.now()):
            with self._lock:
                self._entries.pop(digest, None)
            return None
        entry = _Entry(token, token.as_principal(), now_s, now_s + RECHECK_S)
        with self._lock:
            if forgotten == self._forgotten:
                self._entries[digest] = entry
                while len(self._entries) > self._entries_max:
                    self._entries.popitem(last=False)
        self._note_use(token)
        return entry

    def _note_use(self, token: AccessToken) -> None:
        used = token.last_used_at
        if used is None or self._clock.now() - used >= USE_NOTED_EVERY:
            # Only for people to see which tokens are in use: no request fails because of it.
            with suppress(TransientError):
                self._tokens.note_use(token.token_id)


def _is_due(entry: _Entry, now_s: float) -> bool:
    return entry.check_s <= now_s or now_s - entry.confirmed_s > STALE_S_MAX
