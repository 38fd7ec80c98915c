"""What is written of accounts on the command line: grants as `RETAILER:ROLE`, sign-in links, heads of audit chains. Pure."""

from collections.abc import Iterable, Mapping

from backoffice.accounts.permissions import Role
from backoffice.accounts.principal import Grant
from backoffice.audit.chain import Head
from contract.errors import ConfigurationError


def parse_grants(texts: Iterable[str]) -> list[Grant]:
    """`meadow:analyst` and `*:admin`; raises ConfigurationError with every fault."""
    grants, faults = [], []
    for text in texts:
        retailer, _, role = text.partition(":")
        if role in set(Role) and retailer:
            grants.append(Grant(retailer, Role(role)))
        else:
            faults.append(f"--role {text}: write RETAILER:ROLE or *:ROLE; roles are {', '.join(Role)}")
    if faults:
        raise ConfigurationError(faults)
    return grants


def format_grants(grants: Iterable[Grant]) -> str:
    """As `parse_grants` takes them, in order."""
    return ", ".join(sorted(f"{each.retailer}:{each.right}" for each in grants)) or "none"


def format_sign_in_link(public_url: str, secret: str) -> str:
    """The secret stands behind `#`, which no browser sends and so no log shows."""
    return f"{public_url.rstrip('/')}/sign-in#link={secret}"


def format_head(chain: str, head: Head) -> str:
    """One line, to be noted outside the database."""
    return f"{chain} {head}"


def parse_heads(text: str, where: str) -> Mapping[str, Head]:
    """Heads noted earlier, by chain: the lines of `audit verify`. Raises ConfigurationError with every fault."""
    heads, faults = {}, []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            heads[words[0]] = Head.from_text(words[1] if len(words) > 1 else "")
        except ValueError as error:
            faults.append(f"{where}, line {number}: {error}")
    if faults:
        raise ConfigurationError(faults)
    return heads
