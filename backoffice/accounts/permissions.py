"""Who may do what: one table of roles, scopes and actions. Pure.

The door and every room ask this table alone; an action that is not in a row is not allowed.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

EVERYWHERE = "*"
"""Instead of a retailer's name: all retailers of the installation. No retailer can be called so."""


class Action(StrEnum):
    """What can be asked of the backoffice, each named once."""

    SCORE = "transactions.score"
    READ_VERDICTS = "verdicts.read"
    FOLLOW_VERDICTS = "verdicts.follow"
    """The change feed for shops without Kafka."""
    RESOLVE = "verdicts.resolve"
    USE_SANDBOX = "sandbox.use"
    READ_TRANSACTIONS = "transactions.read"
    READ_CASES = "cases.read"
    TAKE_CASES = "cases.take"
    DECIDE_CASES = "cases.decide"
    NOTE_CASES = "cases.note"
    READ_ENTITIES = "entities.read"
    LOOK_UP_ENTITIES = "entities.look_up"
    """By a raw value, which becomes a token on the server."""
    READ_LISTS = "lists.read"
    SET_LISTS = "lists.set"
    SET_LISTS_LONG = "lists.set_long"
    """For longer than SHORT_DAYS, or without an end."""
    READ_SNOOZES = "snoozes.read"
    SET_SNOOZES = "snoozes.set"
    SET_SNOOZES_LONG = "snoozes.set_long"
    READ_RULES = "rules.read"
    CHECK_RULES = "rules.check"
    RUN_RULES_DRY = "rules.dry_run"
    WRITE_RULES = "rules.write"
    SERVE_RULES = "rules.serve"
    READ_MODELS = "models.read"
    SERVE_MODELS = "models.serve"
    PIN_MODELS = "models.pin"
    CHALLENGE_MODELS = "models.challenge"
    TRY_THRESHOLDS = "thresholds.try"
    """What others would have cost; changes nothing."""
    SET_THRESHOLDS = "thresholds.set"
    READ_CONNECTORS = "connectors.read"
    OPERATE_CONNECTORS = "connectors.operate"
    READ_DEAD_LETTERS = "dead_letters.read"
    RETRY_DEAD_LETTERS = "dead_letters.retry"
    READ_SYSTEM = "system.read"
    """Workers, alarms, drift and the breaker."""
    ACKNOWLEDGE_ALARMS = "alarms.acknowledge"
    OPERATE_BREAKER = "breaker.operate"
    READ_FEDERATION = "federation.read"
    APPROVE_MEMBERS = "federation.approve"
    REVOKE_MEMBERS = "federation.revoke"
    LEAVE_FEDERATION = "federation.leave"
    PAUSE_FEDERATION = "federation.pause"
    READ_REPORTS = "reports.read"
    MAKE_REPORTS = "reports.make"
    READ_EVENTS = "events.read"
    READ_USERS = "users.read"
    WRITE_USERS = "users.write"
    READ_TOKENS = "tokens.read"
    MAKE_TOKENS = "tokens.make"
    REVOKE_TOKENS = "tokens.revoke"
    READ_AUDIT = "audit.read"


class Role(StrEnum):
    """What a person is at a retailer; several at once are possible."""

    VIEWER = "viewer"
    ANALYST = "analyst"
    OPERATOR = "operator"
    OFFICER = "officer"
    ADMIN = "admin"


class Scope(StrEnum):
    """What a machine's access token is for; several at once are possible."""

    SCORE = "score"
    RESOLVE = "resolve"
    READ = "read"
    OPERATE = "operate"


SHORT_DAYS = 30
"""How long an analyst's list entries and snoozes last at most; an admin may set longer ones."""
APPROVABLE = frozenset({Action.SERVE_RULES, Action.SERVE_MODELS, Action.SET_THRESHOLDS})
"""Where a retailer may ask for a second person, who needs the same right."""
SANDBOX = frozenset({Action.USE_SANDBOX})
"""All that a token of the sandbox may do, and no other token may: neither is taken for the other by mistake."""

_READS = frozenset(
    {
        Action.READ_VERDICTS,
        Action.READ_TRANSACTIONS,
        Action.READ_CASES,
        Action.READ_LISTS,
        Action.READ_SNOOZES,
        Action.READ_RULES,
        Action.READ_MODELS,
        Action.TRY_THRESHOLDS,
        Action.READ_CONNECTORS,
        Action.READ_DEAD_LETTERS,
        Action.READ_SYSTEM,
        Action.READ_FEDERATION,
        Action.READ_REPORTS,
        Action.READ_EVENTS,
    }
)
_OPERATES = frozenset(
    {
        Action.CHECK_RULES,
        Action.RUN_RULES_DRY,
        Action.WRITE_RULES,
        Action.SERVE_RULES,
        Action.SERVE_MODELS,
        Action.PIN_MODELS,
        Action.CHALLENGE_MODELS,
        Action.SET_THRESHOLDS,
        Action.OPERATE_CONNECTORS,
        Action.RETRY_DEAD_LETTERS,
        Action.ACKNOWLEDGE_ALARMS,
        Action.OPERATE_BREAKER,
        Action.MAKE_REPORTS,
    }
)
_DESK = frozenset(
    {
        Action.TAKE_CASES,
        Action.DECIDE_CASES,
        Action.NOTE_CASES,
        Action.RESOLVE,
        Action.READ_ENTITIES,
        Action.LOOK_UP_ENTITIES,
        Action.SET_LISTS,
        Action.SET_SNOOZES,
    }
)
_FEDERATES = frozenset(
    {Action.APPROVE_MEMBERS, Action.REVOKE_MEMBERS, Action.LEAVE_FEDERATION, Action.PAUSE_FEDERATION}
)
_ADMINISTERS = frozenset(
    {
        Action.SET_LISTS,
        Action.SET_LISTS_LONG,
        Action.SET_SNOOZES,
        Action.SET_SNOOZES_LONG,
        Action.READ_USERS,
        Action.WRITE_USERS,
        Action.READ_TOKENS,
        Action.MAKE_TOKENS,
        Action.REVOKE_TOKENS,
        Action.READ_AUDIT,
    }
)

ALLOWED: Mapping[Role | Scope, frozenset[Action]] = MappingProxyType(
    {
        Role.VIEWER: _READS,
        Role.ANALYST: _READS | _DESK,
        Role.OPERATOR: _READS | _OPERATES,
        Role.OFFICER: _READS | _FEDERATES,
        Role.ADMIN: _READS | _ADMINISTERS,
        Scope.SCORE: frozenset({Action.SCORE, Action.READ_VERDICTS}),
        Scope.RESOLVE: frozenset({Action.RESOLVE}),
        Scope.READ: _READS - {Action.READ_EVENTS} | {Action.FOLLOW_VERDICTS},
        Scope.OPERATE: _READS - {Action.READ_EVENTS} | _OPERATES,
    }
)
"""The table. `viewer` and `read` change nothing."""
READ_ONLY = _READS | {
    Action.FOLLOW_VERDICTS,
    Action.READ_ENTITIES,
    Action.LOOK_UP_ENTITIES,
    Action.CHECK_RULES,
    Action.READ_USERS,
    Action.READ_TOKENS,
    Action.READ_AUDIT,
}
"""Actions that leave everything as it was; every other one writes."""
