"""Tables of people, sessions and what belongs to signing in. The migrations make them."""

import sqlalchemy as sa

METADATA = sa.MetaData()
PEOPLE = sa.Table(
    "people",
    METADATA,
    sa.Column("person_id", sa.String(16), primary_key=True),
    sa.Column("name", sa.String(120)),
    sa.Column("password_hash", sa.String(256)),
    sa.Column("issuer", sa.String(256)),
    sa.Column("subject", sa.String(256)),
    sa.Column("made_ms", sa.BigInteger),
    sa.Column("made_by", sa.String(128)),
    sa.Column("disabled_ms", sa.BigInteger),
)
ROLES = sa.Table(
    "roles",
    METADATA,
    sa.Column("person_id", sa.String(16), primary_key=True),
    sa.Column("retailer", sa.String(48), primary_key=True),
    sa.Column("role", sa.String(16), primary_key=True),
    sa.Column("given_by", sa.String(128)),
)
SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("session_sha256", sa.String(64), primary_key=True),
    sa.Column("person_id", sa.String(16)),
    sa.Column("opened_ms", sa.BigInteger),
    sa.Column("seen_ms", sa.BigInteger),
    sa.Column("opened_with", sa.String(16)),
)
LINKS = sa.Table(
    "sign_in_links",
    METADATA,
    sa.Column("link_sha256", sa.String(64), primary_key=True),
    sa.Column("person_id", sa.String(16)),
    sa.Column("expires_ms", sa.BigInteger),
)
FAILURES = sa.Table(
    "sign_in_failures",
    METADATA,
    sa.Column("of_sha256", sa.String(64), primary_key=True),
    sa.Column("failures", sa.Integer),
    sa.Column("last_ms", sa.BigInteger),
)
