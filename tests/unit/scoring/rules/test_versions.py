"""Rules by version: the current ones, and others as long as the archive knows them."""

from contract.clock import ManualClock
from scoring.rules.ruleset import load_rules
from scoring.rules.versions import LOADED_MAX, RulesetCache
from support.memory_store import MemoryRules
from support.workbench import RULES, START


def numbered(number: int) -> str:
    return f"rules: [{{id: many, text: many, when: 'amount > {number}', decision: flag}}]"


def test_a_new_process_finds_the_rules_of_the_one_before() -> None:
    archive, clock, old = MemoryRules(), ManualClock(START), load_rules(RULES, where="old")
    RulesetCache(old, archive, clock)
    cache = RulesetCache(load_rules("rules: []", where="new"), archive, clock)
    found = cache.get(old.version)
    assert found is not None
    assert [rule.id for rule in found.rules] == [rule.id for rule in old.rules]
    assert cache.get("r-000000000000") is None


def test_an_archive_that_does_not_answer_leaves_the_current_rules() -> None:
    cache = RulesetCache(load_rules(RULES, where="a"), MemoryRules(broken=True), ManualClock(START))
    assert cache.current.rules
    assert not cache.keep_archived()


def test_versions_in_memory_are_bounded_and_the_others_are_read_again() -> None:
    cache = RulesetCache(load_rules(RULES, where="a"), MemoryRules(), ManualClock(START))
    versions = []
    for number in range(2 * LOADED_MAX):
        cache.use(load_rules(numbered(number), where="a"))
        versions.append(cache.current.version)
    assert len(cache._loaded) == LOADED_MAX
    assert all(cache.get(version) is not None for version in versions)
    assert len(cache._loaded) == LOADED_MAX
