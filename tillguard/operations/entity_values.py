"""From what an operator types to the values under which a transaction may name an entity. Pure."""

from contract.errors import ConfigurationError, InvalidEventError
from contract.settings import Settings
from contract.windows import ENTITY_NAMES

FIELDS = (*ENTITY_NAMES, "phone")
"""Fields of a transaction that name an entity."""
PERSONAL = frozenset({"card", "ip", "email", "phone", "address"})
"""Fields that connectors pass on as tokens only."""


def find_values(settings: Settings, entity: str, given: str, *, is_token: bool) -> list[str]:
    """Every value under which records may hold `given`, the likeliest first.

    Personal data is there as a token only, under one of the retailer's keys, the newest first. Any other field is there as it
    is, or as a token where its mapping says so. `is_token` says that `given` is a token already. Raises ConfigurationError.
    """
    if entity not in FIELDS:
        raise ConfigurationError([f"--entity {entity}: no such entity; known are {', '.join(FIELDS)}"])
    if not given:
        raise ConfigurationError([f"the value of {entity} is empty"])
    if is_token:
        return [given]
    if entity in PERSONAL:
        return _tokens(settings, entity, given)
    return [given, *(_tokens(settings, entity, given) if settings.connectors.token_keys else [])]


def _tokens(settings: Settings, entity: str, given: str) -> list[str]:
    from contract.tokens import Tokeniser, build_tokeniser, normalise  # noqa: PLC0415 - only where values are tokenised

    keys = settings.connectors
    build_tokeniser(keys)  # lists every fault of the keys
    try:
        normalised = normalise(entity, given)
    except InvalidEventError as error:
        raise ConfigurationError([error.detail]) from None
    newest_first = sorted(keys.token_keys, key=lambda key_id: key_id != keys.token_key_id)
    secrets = {key_id: bytes.fromhex(keys.token_keys[key_id].get_secret_value()) for key_id in newest_first}
    return [Tokeniser(secrets, key_id).make_token(entity, normalised) for key_id in newest_first]
