"""Rules kept as files of one machine."""

from pathlib import Path

import pytest

from contract.clock import ManualClock
from scoring.ports import StoreUnavailableError
from scoring.rules.ruleset import load_rules
from scoring.rules.versions import LOADED_MAX, DirectoryRulesArchive, RulesetCache
from support.workbench import RULES, START


def numbered(number: int) -> str:
    return f"rules: [{{id: many, text: many, when: 'amount > {number}', decision: flag}}]"


def test_a_new_process_finds_the_rules_of_the_one_before(tmp_path: Path) -> None:
    clock = ManualClock(START)
    old = load_rules(RULES, where="old")
    RulesetCache(old, DirectoryRulesArchive(tmp_path / "rules"), clock)
    cache = RulesetCache(load_rules("rules: []", where="new"), DirectoryRulesArchive(tmp_path / "rules"), clock)
    found = cache.get(old.version)
    assert found is not None
    assert [rule.id for rule in found.rules] == [rule.id for rule in old.rules]
    assert cache.get("r-000000000000") is None
    assert [file.suffix for file in (tmp_path / "rules").iterdir()] == [".yaml", ".yaml"]


def test_a_strange_version_never_leads_out_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "evil.yaml").write_text(RULES)
    archive = DirectoryRulesArchive(tmp_path / "rules")
    assert archive.find("../evil") is None
    assert archive.find("") is None


def test_a_directory_that_cannot_be_used_is_a_store_that_does_not_answer(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file where the directory should be")
    archive = DirectoryRulesArchive(tmp_path / "file" / "rules")
    with pytest.raises(StoreUnavailableError):
        archive.keep("r-1", RULES)
    with pytest.raises(StoreUnavailableError):
        archive.find("r-1")
    cache = RulesetCache(load_rules(RULES, where="a"), archive, ManualClock(START))
    assert cache.current.rules


def test_versions_in_memory_are_bounded_and_the_others_are_read_again(tmp_path: Path) -> None:
    cache = RulesetCache(load_rules(RULES, where="a"), DirectoryRulesArchive(tmp_path), ManualClock(START))
    versions = []
    for number in range(2 * LOADED_MAX):
        cache.use(load_rules(numbered(number), where="a"))
        versions.append(cache.current.version)
    assert len(cache._loaded) == LOADED_MAX
    assert all(cache.get(version) is not None for version in versions)
    assert len(cache._loaded) == LOADED_MAX
