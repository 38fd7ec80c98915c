"""The rules of one retailer as the backoffice asks for them, over the operations of the command line."""

from contract.rules import RulesServing, RulesVersion
from contract.settings import Settings
from scoring.rules.ruleset import load_rules
from tillguard.operations.rules_desk import list_rules, publish_rules, serve_rules

WHERE = "source"
"""What faults call the text."""


class RulesAccess:
    """A RulesDesk over the retailer's rules topic."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def list_versions(self) -> tuple[tuple[RulesVersion, ...], RulesServing | None]:
        listing = list_rules(self._settings)
        return listing.versions, listing.serving

    def check(self, source: str) -> str:
        return load_rules(source, where=WHERE).version

    def publish(self, source: str, *, by: str, note: str) -> RulesVersion:
        return publish_rules(self._settings, source, where=WHERE, by=by, note=note)

    def serve(self, version: str, *, by: str, reason: str) -> RulesServing:
        return serve_rules(self._settings, version, by=by, reason=reason)
