"""What the rules topic says: the versions that were published, and which of them serves.

One thread offers messages, others ask what is wrong. A version that fails a check is refused, counted and logged, and the
rules that served before continue. Until the topic names a version that serves, the configured rules do.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from contract.errors import ConfigurationError, InvalidEventError
from contract.metrics import Metrics
from contract.rules import RulesServing, RulesVersion, read_message
from scoring.ports import RulesArchive, StoreUnavailableError
from scoring.rules.ruleset import Ruleset, load_rules

SOURCES_MAX = 1000
SOURCES_CHARS_MAX = 32 * 1024 * 1024
"""Both bound the texts in memory; a version beyond them is looked for in the archive, where every version is that ever served."""
CHECKED_MAX = 4
"""Rules that were checked on arrival, so that they serve at once."""

log = structlog.get_logger()

Take = Callable[[Ruleset, bool], None]
"""Takes the rules that serve from now on, and whether they are archived already."""


@dataclass(frozen=True, slots=True)
class Unserved:
    """Why the version that should serve does not, and what an operator does about it."""

    reason: str
    remedy: str


class PublishedRules:
    """The rules of one retailer as its topic has them."""

    def __init__(self, configured: Ruleset, archive: RulesArchive, metrics: Metrics, *, retailer: str) -> None:
        """`archive` is for the thread that offers messages, which may wait for it."""
        self._configured = configured
        self._archive = archive
        self._metrics = metrics
        self._retailer = retailer
        self._sources: OrderedDict[str, str] = OrderedDict()
        self._checked: OrderedDict[str, Ruleset] = OrderedDict()
        self._refused: OrderedDict[str, str] = OrderedDict()
        """What is wrong with a version, in words."""
        self._announced: RulesServing | None = None
        self._serving = configured
        self._take: Take | None = None
        self._unserved: Unserved | None = None

    @property
    def serving(self) -> Ruleset:
        """The rules that decide."""
        return self._serving

    @property
    def unserved(self) -> Unserved | None:
        """Why the version that should serve does not; None where it does."""
        return self._unserved

    def begin(self, take: Take) -> None:
        """The topic was read to its end: what it says now is served, and from now on every change goes to `take`.

        A worker that starts and cannot use the version that should serve goes back to the one before it.
        """
        self._take = take
        announced = self._announced
        if announced is not None and announced.previous is not None and self._find(announced.rules_version) is None:
            before = self._find(announced.previous)
            if before is not None:
                self._serve(before)
        self._settle()
        self._metrics.set(
            "tillguard_scoring_rules_info", 1, retailer=self._retailer, rules_version=self._serving.version
        )

    def offer(self, value: bytes | None) -> None:
        """Takes one message of the topic, in any order, any number of times; never raises for what it holds."""
        if value is None:  # a tombstone: the version was withdrawn; it stays for what is pinned to it
            return
        try:
            message = read_message(value)
        except InvalidEventError as error:
            self._count_refused("unknown", "format", error.detail)
            return
        if isinstance(message, RulesServing):
            self._announced = message
        else:
            self._keep(message)
        if self._take is not None:
            self._settle()

    def _keep(self, message: RulesVersion) -> None:
        version = message.rules_version
        if self._sources.get(version) == message.source:
            return
        self._sources[version] = message.source
        self._sources.move_to_end(version)
        self._checked.pop(version, None)
        self._refused.pop(version, None)
        chars = sum(map(len, self._sources.values()))
        while len(self._sources) > SOURCES_MAX or chars > SOURCES_CHARS_MAX:
            chars -= len(self._sources.popitem(last=False)[1])
        if (
            self._take is not None
        ):  # before that the topic is read to its end, and only the version that serves is checked
            self._find(version)

    def _settle(self) -> None:
        announced = self._announced
        if announced is None:
            return
        rules = self._find(announced.rules_version)
        if rules is not None:
            self._unserved = None
            self._serve(rules)
            return
        unserved = self._explain(announced)
        if unserved != self._unserved:
            self._unserved = unserved
            log.error("rules_not_served", reason=unserved.reason, remedy=unserved.remedy)

    def _find(self, version: str) -> Ruleset | None:
        """The checked rules of `version`; None where they are not to be had or were refused."""
        for known in (self._serving, self._configured):
            if known.version == version:
                return known
        if version in self._checked:
            return self._checked[version]
        if version in self._refused:
            return None
        source = self._sources.get(version) or self._find_archived(version)
        return None if source is None else self._check(version, source)

    def _find_archived(self, version: str) -> str | None:
        try:
            return self._archive.find(version)
        except StoreUnavailableError:
            return None

    def _check(self, version: str, source: str) -> Ruleset | None:
        try:
            rules = load_rules(source, where=version)
        except ConfigurationError as error:
            self._refuse(version, "rules", "; ".join(error.faults))
            return None
        if rules.version != version:
            self._refuse(version, "version", f"the text holds the rules of {rules.version}")
            return None
        self._checked[version] = rules
        while len(self._checked) > CHECKED_MAX:
            self._checked.popitem(last=False)
        return rules

    def _refuse(self, version: str, reason: str, detail: str) -> None:
        self._refused[version] = detail
        while len(self._refused) > SOURCES_MAX:
            self._refused.popitem(last=False)
        self._count_refused(version, reason, detail)

    def _count_refused(self, version: str, reason: str, detail: str) -> None:
        self._metrics.add("tillguard_scoring_rules_refused_total", retailer=self._retailer, reason=reason)
        log.error("rules_refused", rules_version=version, reason=reason, detail=detail[:1000])

    def _serve(self, rules: Ruleset) -> None:
        before = self._serving
        if rules.version == before.version:
            return
        self._serving = rules
        for value, one in ((0, before), (1, rules)):
            self._metrics.set("tillguard_scoring_rules_info", value, retailer=self._retailer, rules_version=one.version)
        log.info("rules_serve", rules_version=rules.version, before=before.version)
        if self._take is not None:
            self._take(rules, self._keep_archived(rules))

    def _keep_archived(self, rules: Ruleset) -> bool:
        """Archives in this thread, so that the one that answers need not wait; where it fails, that one tries on."""
        try:
            self._archive.keep(rules.version, rules.source)
        except StoreUnavailableError:
            return False
        return True

    def _explain(self, announced: RulesServing) -> Unserved:
        version, decides = announced.rules_version, self._serving.version
        who = f"{version}, which {announced.served_by} put in service at {announced.served_at:%Y-%m-%d %H:%M} UTC,"
        back = f"tillguard rules serve VERSION --retailer {self._retailer} --reason TEXT"
        if version in self._refused:
            return Unserved(
                f"{who} cannot be used by this worker: {self._refused[version][:500]}; {decides} decides instead",
                f"put another version in service: {back}; rules that need a newer release need a newer worker",
            )
        return Unserved(
            f"{who} is not on the rules topic; {decides} decides instead",
            f"publish its file again: tillguard rules publish FILE --retailer {self._retailer} --reason TEXT; "
            f"or put another version in service: {back}",
        )
