"""Access tokens in the database: made once, kept as hashes, found by hash, revoked. Each belongs to one retailer.

Invariant: what changes a token and the audit entry that tells of it stand in one transaction.
"""

import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from pydantic import SecretStr

from backoffice.accounts.permissions import Action, Scope
from backoffice.accounts.principal import Grant, Principal
from backoffice.accounts.token_text import SECRET_BYTES, format_token, hash_token
from backoffice.audit.trail import AuditTrail
from backoffice.refusals import FieldFault, InvalidInputError, StateConflictError, UnknownObjectError
from contract.clock import Clock, from_epoch_ms, to_epoch_ms
from contract.sections.section import IN_WORDS, NAME
from runtime.database import Database

NAME_MAX = 64
LIVE_MAX = 1_000
"""Access tokens of one retailer that are not revoked, so that a loop gone wrong fills no table."""
TOKENS = sa.Table(
    "access_tokens",
    sa.MetaData(),
    sa.Column("token_id", sa.String(16), primary_key=True),
    sa.Column("retailer", sa.String(48)),
    sa.Column("name", sa.String(NAME_MAX)),
    sa.Column("token_sha256", sa.String(64)),
    sa.Column("scopes", sa.String(128)),
    sa.Column("sandbox", sa.Boolean),
    sa.Column("made_ms", sa.BigInteger),
    sa.Column("made_by", sa.String(128)),
    sa.Column("expires_ms", sa.BigInteger),
    sa.Column("last_used_ms", sa.BigInteger),
    sa.Column("revoked_ms", sa.BigInteger),
    sa.Column("revoked_by", sa.String(128)),
)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What is known of a token, without the token."""

    token_id: str
    retailer: str
    name: str
    scopes: frozenset[Scope]
    sandbox: bool
    made_at: datetime
    made_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    """To the hour."""
    revoked_at: datetime | None
    revoked_by: str | None

    def is_usable(self, now: datetime) -> bool:
        """Whether it opens anything at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def as_principal(self) -> Principal:
        """Whoever shows it."""
        grants = frozenset(Grant(self.retailer, scope) for scope in self.scopes)
        return Principal("token", self.token_id, self.name, grants, sandbox=self.sandbox)


@dataclass(frozen=True, slots=True)
class MadeToken:
    """A new token, with the only copy of its text."""

    token: AccessToken
    text: SecretStr


class AccessTokens:
    """Used by any number of threads and processes."""

    def __init__(self, database: Database, trail: AuditTrail, clock: Clock) -> None:
        self._database = database
        self._trail = trail
        self._clock = clock

    def make(
        self,
        by: Principal,
        retailer: str,
        name: str,
        scopes: Collection[Scope],
        *,
        sandbox: bool = False,
        expires_at: datetime | None = None,
    ) -> MadeToken:
        """A new token; its text is shown to whoever asked and kept nowhere.

        Raises InvalidInputError, StateConflictError where the retailer has LIVE_MAX of them, and TransientError.
        """
        now = self._clock.now()
        _check(retailer, name, scopes, expires_at, now)
        text = format_token(retailer, secrets.token_bytes(SECRET_BYTES), sandbox=sandbox)
        token = AccessToken(
            secrets.token_hex(8), retailer, name, frozenset(scopes), sandbox, now, by.name, expires_at, None, None, None
        )
        with self._database.begin() as connection:
            connection.execute(TOKENS.insert().values(**_as_row(token), token_sha256=hash_token(text)))
            live = (TOKENS.c.retailer == retailer) & TOKENS.c.revoked_ms.is_(None)
            if (connection.scalar(sa.select(sa.func.count()).select_from(TOKENS).where(live)) or 0) > LIVE_MAX:
                raise StateConflictError("too_many", f"{retailer} has {LIVE_MAX} access tokens: revoke some first")
            self._trail.record_with(
                connection,
                by.who,
                retailer,
                Action.MAKE_TOKENS,
                f"token:{token.token_id}",
                details={"name": name, "scopes": _join(scopes), "sandbox": sandbox},
            )
        return MadeToken(token, SecretStr(text))

    def list_tokens(self, retailer: str) -> Sequence[AccessToken]:
        """All tokens of a retailer, revoked ones included, newest first; raises TransientError."""
        chosen = TOKENS.select().where(TOKENS.c.retailer == retailer)
        with self._database.begin() as connection:
            rows = connection.execute(chosen.order_by(TOKENS.c.made_ms.desc(), TOKENS.c.token_id)).all()
        return [_from_row(row) for row in rows]

    def revoke(self, by: Principal, retailer: str, token_id: str) -> AccessToken:
        """Ends a token of this retailer; again changes nothing. Raises UnknownObjectError, TransientError."""
        chosen = (TOKENS.c.token_id == token_id) & (TOKENS.c.retailer == retailer)
        ended = TOKENS.update().where(chosen, TOKENS.c.revoked_ms.is_(None))
        values = {"revoked_ms": to_epoch_ms(self._clock.now()), "revoked_by": by.name}
        with self._database.begin() as connection:
            changed = connection.execute(ended.values(values)).rowcount
            row = connection.execute(TOKENS.select().where(chosen)).one_or_none()
            if row is None:
                raise UnknownObjectError(f"{retailer} has no access token {token_id!r}")
            if changed:
                self._trail.record_with(connection, by.who, retailer, Action.REVOKE_TOKENS, f"token:{token_id}")
        return _from_row(row)

    def find_by_hash(self, token_sha256: str) -> AccessToken | None:
        """The token of that hash, usable or not; raises TransientError.

        The database compares hashes of what a stranger sent: how long that takes tells nothing of a token that is kept.
        """
        with self._database.begin() as connection:
            row = connection.execute(TOKENS.select().where(TOKENS.c.token_sha256 == token_sha256)).one_or_none()
        return None if row is None else _from_row(row)

    def note_use(self, token_id: str) -> None:
        """That it was used about now; raises TransientError."""
        noted = TOKENS.update().where(TOKENS.c.token_id == token_id)
        with self._database.begin() as connection:
            connection.execute(noted.values(last_used_ms=to_epoch_ms(self._clock.now())))


def _check(retailer: str, name: str, scopes: Collection[Scope], expires_at: datetime | None, now: datetime) -> None:
    faults = []
    if re.fullmatch(NAME, retailer) is None:
        faults.append(FieldFault("/retailer", "pattern", IN_WORDS[NAME]))
    if not (name.strip() and len(name) <= NAME_MAX and name.isprintable()):
        faults.append(FieldFault("/name", "length", f"1 to {NAME_MAX} visible letters are needed"))
    if not scopes:
        faults.append(FieldFault("/scopes", "missing", f"name at least one of {', '.join(Scope)}"))
    if expires_at is not None and expires_at <= now:
        faults.append(FieldFault("/expires_at", "past", "must lie in the future"))
    if faults:
        raise InvalidInputError(faults)


def _join(scopes: Collection[Scope]) -> str:
    return ",".join(sorted(scopes))


def _as_row(token: AccessToken) -> dict[str, object]:
    return {
        "token_id": token.token_id,
        "retailer": token.retailer,
        "name": token.name,
        "scopes": _join(token.scopes),
        "sandbox": token.sandbox,
        "made_ms": to_epoch_ms(token.made_at),
        "made_by": token.made_by,
        "expires_ms": None if token.expires_at is None else to_epoch_ms(token.expires_at),
    }


def _from_row(row: sa.Row[tuple[object, ...]]) -> AccessToken:
    def at(ms: int | None) -> datetime | None:
        return None if ms is None else from_epoch_ms(ms)

    return AccessToken(
        token_id=row.token_id,
        retailer=row.retailer,
        name=row.name,
        scopes=frozenset(Scope(each) for each in row.scopes.split(",")),
        sandbox=row.sandbox,
        made_at=from_epoch_ms(row.made_ms),
        made_by=row.made_by,
        expires_at=at(row.expires_ms),
        last_used_at=at(row.last_used_ms),
        revoked_at=at(row.revoked_ms),
        revoked_by=row.revoked_by,
    )
