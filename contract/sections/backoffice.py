"""Settings of the backoffice: one process for all retailers of an installation."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from contract.sections.section import IN_WORDS, Section

GRANT = r"^(\*|[a-z][a-z0-9-]{0,47}):(viewer|analyst|operator|officer|admin)$"
IN_WORDS[GRANT] = "must be RETAILER:ROLE or *:ROLE, such as meadow:analyst"


class OidcSettings(Section):
    """Sign-in by an identity provider: OpenID Connect, code flow with PKCE."""

    issuer: str | None = Field(
        None,
        pattern=r"^(https://|http://(localhost|127\.0\.0\.1)(:|/|$))",
        description="identity provider for sign-in, as its discovery document spells it; absent: passwords and links alone",
    )
    client_id: str = Field("tillguard", min_length=1, description="what the provider calls this installation")
    client_secret: SecretStr | None = Field(None, description="secret of that client")
    roles_claim: str = Field("groups", min_length=1, description="claim of the ID token whose values give roles")
    roles: dict[str, tuple[Annotated[str, Field(pattern=GRANT)], ...]] = Field(
        default_factory=dict, description="roles by value of that claim, as `fraud-desk: [meadow:analyst]`"
    )


class BackofficeSettings(Section):
    """The web server, its two databases, and whose retailers it serves."""

    web_host: str = Field("127.0.0.1", description="address to listen at; 0.0.0.0 in a container")
    web_port: int = Field(8484, ge=0, le=65535, description="port to listen at; 0 chooses a free one and logs it")
    public_url: str | None = Field(
        None,
        description="address that browsers use, where a proxy stands in front; decides cookies and sign-in by OIDC",
    )
    database_url: SecretStr = Field(
        SecretStr("sqlite:///.tillguard/backoffice.db"),
        description="SQLAlchemy URL of accounts, case work and audit; back it up, nothing else holds it",
    )
    read_model_url: SecretStr = Field(
        SecretStr("sqlite:///.tillguard/read-model.db"),
        description="SQLAlchemy URL of what the topics said; can be deleted, and is then made again",
    )
    read_model_days: float = Field(
        90.0, gt=0, le=3650, description="how long the read model keeps transactions and what belongs to them"
    )
    retailers: dict[str, Path] = Field(
        default_factory=dict,
        description="settings file of each retailer by name; empty: every retailer of the state folder",
    )
    session_idle_minutes: float = Field(
        60.0, gt=0, le=10_080, description="a person who does nothing for so long signs in again"
    )
    session_hours: float = Field(12.0, gt=0, le=720, description="and after so long in any case")
    second_person: tuple[Literal["rules", "models", "thresholds"], ...] = Field(
        (), description="what another person with the same right must approve before it is done"
    )
    oidc: OidcSettings = Field(default_factory=OidcSettings)
