"""The rules that decide now, and those that transactions were pinned to before.

A redelivered transaction is judged by the rules of its first sight. They may have changed since, on another machine too, so
every version is archived before it is used.
"""

from collections import OrderedDict

import structlog

from contract.clock import Clock
from contract.errors import ConfigurationError
from scoring.ports import RulesArchive, StoreUnavailableError
from scoring.rules.ruleset import Ruleset, load_rules

LOADED_MAX = 8
RETRY_EVERY_S = 0.1

log = structlog.get_logger()


class RulesetCache:
    """The current rules, and others by version. Of one thread, but for `hand_over`."""

    def __init__(self, current: Ruleset, archive: RulesArchive, clock: Clock) -> None:
        self._archive = archive
        self._clock = clock
        self._loaded: OrderedDict[str, Ruleset] = OrderedDict()
        self._archived = False
        self._retry_s = 0.0
        self._current = current
        self._handed_over: tuple[Ruleset, bool] | None = None
        """Written by `hand_over` alone."""
        self._taken_over: tuple[Ruleset, bool] | None = None
        self.use(current)

    @property
    def current(self) -> Ruleset:
        """The rules for transactions not seen before."""
        return self._current

    def hand_over(self, rules: Ruleset, archived: bool) -> None:
        """From any thread: `rules` decide from the next batch on. `archived`: the archive holds them already."""
        self._handed_over = (rules, archived)

    def take_over(self) -> None:
        """Called before every batch: uses what was handed over meanwhile. What is under way keeps what it was pinned to."""
        handed = self._handed_over
        if handed is self._taken_over or handed is None:
            return
        self._taken_over = handed
        self.use(handed[0], archived=handed[1])

    def use(self, rules: Ruleset, *, archived: bool = False) -> None:
        """From now on `rules` decide; the ones before stay for what is pinned to them."""
        self._current = rules
        self._remember(rules)
        self._archived = archived
        self._retry_s = 0.0
        self.keep_archived()

    def keep_archived(self) -> bool:
        """Archives the current rules if that has not been possible yet; False while nothing may be pinned to them.

        Called with every batch; tries ten times a second at most.
        """
        if self._archived or self._clock.monotonic_s() < self._retry_s:
            return self._archived
        try:
            self._archive.keep(self._current.version, self._current.source)
            self._archived = True
        except StoreUnavailableError:
            self._retry_s = self._clock.monotonic_s() + RETRY_EVERY_S
            log.warning("rules_not_archived", rules_version=self._current.version)
        return self._archived

    def get(self, version: str) -> Ruleset | None:
        """The rules of `version`, or None where nobody knows them any more; raises StoreUnavailableError."""
        if version in self._loaded:
            return self._loaded[version]
        source = self._archive.find(version)
        if source is None:
            return None
        try:
            rules = load_rules(source, where=version)
        except ConfigurationError:
            return None
        if rules.version != version:
            return None
        self._remember(rules)
        return rules

    def _remember(self, rules: Ruleset) -> None:
        self._loaded[rules.version] = rules
        self._loaded.move_to_end(rules.version)
        while len(self._loaded) > LOADED_MAX:
            self._loaded.popitem(last=False)
