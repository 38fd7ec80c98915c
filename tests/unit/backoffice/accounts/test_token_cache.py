"""The hot path of access tokens: how often the database is asked, and what holds while it does not answer."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from backoffice.accounts.access_tokens import AccessToken, AccessTokens
from backoffice.accounts.permissions import Scope
from backoffice.accounts.token_cache import RECHECK_S, STALE_S_MAX, TokenCache
from backoffice.accounts.token_text import format_token, hash_token
from contract.clock import ManualClock
from contract.errors import TransientError

NOW = datetime(2026, 5, 1, tzinfo=UTC)


class Kept:
    """Tokens as a database has them; counts questions."""

    def __init__(self) -> None:
        self.by_hash: dict[str, AccessToken] = {}
        self.asked = 0
        self.away = False
        self.between: Callable[[], object] = dict

    def add(self, number: int) -> str:
        text = format_token("meadow", number.to_bytes(32), sandbox=False)
        scopes = frozenset({Scope.SCORE})
        self.by_hash[hash_token(text)] = AccessToken(
            str(number), "meadow", "till", scopes, False, NOW, "ann", None, NOW, None, None
        )
        return text

    def find_by_hash(self, digest: str) -> AccessToken | None:
        self.asked += 1
        if self.away:
            raise TransientError("away")
        found = self.by_hash.get(digest)
        self.between()
        return found

    def note_use(self, token_id: str) -> None:
        raise TransientError("away")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def kept() -> Kept:
    return Kept()


def cache_of(kept: Kept, clock: ManualClock, entries_max: int = 100) -> TokenCache:
    return TokenCache(cast("AccessTokens", kept), clock, entries_max=entries_max)


def test_a_token_in_use_is_asked_for_once_in_a_while(kept: Kept, clock: ManualClock) -> None:
    cache, text = cache_of(kept, clock), kept.add(1)
    for _ in range(100):
        assert cache.authenticate(text) is not None
        clock.advance(RECHECK_S / 50)
    assert kept.asked == 2


def test_what_has_not_the_form_of_a_token_is_never_asked_for(kept: Kept, clock: ManualClock) -> None:
    assert cache_of(kept, clock).authenticate("Bearer 1") is None
    assert kept.asked == 0


def test_a_token_that_is_gone_is_refused_after_the_next_question(kept: Kept, clock: ManualClock) -> None:
    cache, text = cache_of(kept, clock), kept.add(1)
    assert cache.authenticate(text) is not None
    kept.by_hash.clear()
    clock.advance(RECHECK_S)
    assert cache.authenticate(text) is None


def test_one_that_was_revoked_in_this_process_is_refused_at_once(kept: Kept, clock: ManualClock) -> None:
    cache, text, other = cache_of(kept, clock), kept.add(1), kept.add(2)
    assert None not in (cache.authenticate(text), cache.authenticate(other))
    kept.by_hash.clear()
    cache.forget("1")
    assert cache.authenticate(text) is None
    assert cache.authenticate(other) is not None


def test_an_answer_from_before_the_revocation_is_not_kept(kept: Kept, clock: ManualClock) -> None:
    cache, text = cache_of(kept, clock), kept.add(1)
    kept.between = lambda: cache.forget("1")
    cache.authenticate(text)
    kept.by_hash.clear()
    assert cache.authenticate(text) is None


def test_a_good_token_stays_good_for_a_while_when_accounts_are_away(kept: Kept, clock: ManualClock) -> None:
    cache, text, unknown = cache_of(kept, clock), kept.add(1), kept.add(2)
    assert cache.authenticate(text) is not None
    kept.away = True
    with pytest.raises(TransientError):
        cache.authenticate(unknown)
    clock.advance(STALE_S_MAX)
    assert cache.authenticate(text) is not None
    clock.advance(1)
    for _ in range(3):
        with pytest.raises(TransientError):
            cache.authenticate(text)
    kept.away = False
    assert cache.authenticate(text) is not None


def test_while_one_asks_others_take_what_is_known(kept: Kept, clock: ManualClock) -> None:
    cache, text = cache_of(kept, clock), kept.add(1)
    cache.authenticate(text)
    clock.advance(RECHECK_S)
    inner = []
    kept.between = lambda: inner.append(cache.authenticate(text))  # as another thread would meanwhile
    assert cache.authenticate(text) is not None
    assert kept.asked == 2
    assert len(inner) == 1
    assert inner[0] is not None


def test_memory_is_bounded_and_what_was_used_last_stays(kept: Kept, clock: ManualClock) -> None:
    cache = cache_of(kept, clock, entries_max=2)
    first, second, third = (kept.add(number) for number in range(3))
    for text in (first, second, first, third):
        cache.authenticate(text)
    assert kept.asked == 3
    cache.authenticate(first)
    assert kept.asked == 3
    cache.authenticate(second)
    assert kept.asked == 4


def test_without_asking_only_what_was_asked_for_lately_is_known(kept: Kept, clock: ManualClock) -> None:
    cache, text = cache_of(kept, clock), kept.add(1)
    assert cache.find_remembered(text) is None
    principal = cache.authenticate(text)
    assert cache.find_remembered(text) == principal
    clock.advance(RECHECK_S)
    assert cache.find_remembered(text) is None
    kept.between = lambda: seen.append(cache.find_remembered(text))
    seen: list[object] = []
    cache.authenticate(text)
    assert seen == [principal]
    assert kept.asked == 2
    assert cache.find_remembered("not a token") is None


def test_a_token_that_expired_is_not_known_any_more(kept: Kept, clock: ManualClock) -> None:
    cache, text = cache_of(kept, clock), kept.add(1)
    digest = hash_token(text)
    kept.by_hash[digest] = replace(kept.by_hash[digest], expires_at=NOW + timedelta(seconds=1))
    assert None not in (cache.authenticate(text), cache.find_remembered(text))
    clock.advance(1)
    assert (cache.find_remembered(text), cache.authenticate(text)) == (None, None)
