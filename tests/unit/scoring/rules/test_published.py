"""What the rules topic says is served between batches; what fails a check is refused, and the rules before it continue."""

from datetime import UTC, datetime

import pytest
import structlog

from contract.clock import ManualClock
from contract.codec import encode
from contract.metrics import Metrics
from contract.rules import MESSAGE_BYTES_MAX, RulesServing, RulesVersion
from scoring.rules import published
from scoring.rules.published import PublishedRules
from scoring.rules.ruleset import load_rules
from scoring.rules.versions import RulesetCache
from support.memory_store import MemoryRules

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


def source(limit: int) -> str:
    return f"rules: [{{id: big, text: big, when: 'amount > {limit}', decision: flag}}]"


def name(limit: int) -> str:
    return load_rules(source(limit), where="test").version


def version(limit: int, **changes: str) -> bytes:
    fields = {"rules_version": name(limit), "source": source(limit)} | changes
    return encode(RulesVersion(made_at=NOON, made_by="ana", **fields))


def serving(limit: int | str, previous: str | None = None) -> bytes:
    wanted = limit if isinstance(limit, str) else name(limit)
    return encode(RulesServing(rules_version=wanted, served_at=NOON, served_by="ana", reason="test", previous=previous))


class Scene:
    """A worker's view of the topic; `start` is the end of catching up."""

    def __init__(self, configured: int = 1) -> None:
        self.metrics = Metrics()
        self.archive = MemoryRules()
        self.rules = PublishedRules(
            load_rules(source(configured), where="file"), self.archive, self.metrics, retailer="shop"
        )
        self.cache = RulesetCache(self.rules.serving, self.archive, ManualClock(NOON))

    def offer(self, *values: bytes | None) -> None:
        for value in values:
            self.rules.offer(value)

    def start(self, *values: bytes | None) -> None:
        self.offer(*values)
        self.rules.begin(self.cache.hand_over)

    def decides(self) -> str:
        """In the scoring thread, from its next batch on."""
        self.cache.take_over()
        return self.cache.current.version

    def count(self, metric: str, **labels: str) -> float:
        return (
            self.metrics.registry.get_sample_value(f"tillguard_scoring_{metric}", {"retailer": "shop"} | labels) or 0.0
        )


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_configured_rules_decide_until_the_topic_names_a_version(scene: Scene) -> None:
    scene.start(version(2))
    assert scene.decides() == name(1)
    scene.offer(serving(2))
    assert scene.decides() == name(2)
    assert scene.count("rules_info", rules_version=name(1)) == 0
    assert scene.count("rules_info", rules_version=name(2)) == 1


def test_after_a_restart_the_topic_decides_and_not_the_file(scene: Scene) -> None:
    scene.start(version(2), version(3), serving(2), serving(3, previous=name(2)))
    assert scene.decides() == name(3)
    assert scene.rules.unserved is None


def test_the_scoring_thread_takes_a_version_between_batches_and_finds_it_archived(scene: Scene) -> None:
    scene.start()
    before = scene.cache.current
    scene.offer(version(2), serving(2))
    assert scene.cache.current is before
    assert name(2) in scene.archive.sources
    scene.archive.broken = True  # the scoring thread needs no answer of the store any more
    scene.cache.take_over()
    assert scene.cache.keep_archived()
    assert scene.cache.get(before.version) is before


def test_a_version_that_could_not_be_archived_is_archived_by_the_scoring_thread(scene: Scene) -> None:
    scene.start(version(2))
    scene.archive.broken = True
    scene.offer(serving(2))
    assert scene.decides() == name(2)
    assert not scene.cache.keep_archived()


def test_an_old_version_can_be_put_in_service_again(scene: Scene) -> None:
    scene.start(version(2), version(3), serving(2))
    scene.offer(serving(3), serving(2), serving(3), serving(2))
    assert scene.decides() == name(2)
    scene.offer(None, version(2), serving(2))
    assert scene.decides() == name(2)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "format"),
        (b"x" * (MESSAGE_BYTES_MAX + 1), "format"),
        (version(2, rules_version=name(3)), "version"),
        (version(2, source="rules: [{id: big, text: big, when: 'amunt > 1', decision: flag}]"), "rules"),
        (version(2, source="rules: ["), "rules"),
    ],
)
def test_what_cannot_be_used_is_refused_counted_and_told(scene: Scene, value: bytes, reason: str) -> None:
    scene.start()
    with structlog.testing.capture_logs() as told:
        scene.offer(value)
    assert [line["event"] for line in told] == ["rules_refused"]
    assert scene.count("rules_refused_total", reason=reason) == 1
    assert scene.decides() == name(1)


def test_a_refused_version_that_should_serve_is_named_with_what_is_wrong_and_the_old_one_decides(scene: Scene) -> None:
    scene.start(version(2), serving(2))
    bad = version(3, source="rules: [{id: big, text: big, when: 'amunt > 1', decision: flag}]")
    scene.offer(bad, serving(3))
    assert scene.decides() == name(2)
    unserved = scene.rules.unserved
    assert unserved is not None
    assert all(word in unserved.reason for word in (name(3), "ana", "amunt", f"{name(2)} decides"))
    assert "tillguard rules serve VERSION --retailer shop" in unserved.remedy
    scene.offer(version(3))  # published again, as it should be
    assert scene.decides() == name(3)
    assert scene.rules.unserved is None


def test_a_version_that_is_announced_and_nowhere_is_named_with_the_remedy_and_serves_when_it_comes(
    scene: Scene,
) -> None:
    scene.start()
    scene.offer(serving(2))
    unserved = scene.rules.unserved
    assert unserved is not None
    assert f"{name(2)}, which ana put in service at 2026-11-02 12:00 UTC, is not on the rules topic" in unserved.reason
    assert "tillguard rules publish FILE --retailer shop" in unserved.remedy
    scene.offer(version(2))
    assert scene.decides() == name(2)
    assert scene.rules.unserved is None


def test_a_worker_that_starts_and_cannot_use_the_version_goes_back_to_the_one_before(scene: Scene) -> None:
    scene.start(version(2), serving(3, previous=name(2)))
    assert scene.decides() == name(2)
    assert scene.rules.unserved is not None
    assert f"{name(2)} decides" in scene.rules.unserved.reason


def test_a_version_that_left_the_topic_is_found_in_the_archive(scene: Scene) -> None:
    scene.archive.sources[name(2)] = source(2)
    scene.start(serving(2))
    assert scene.decides() == name(2)
    lost = Scene()
    lost.archive.broken = True
    lost.start(serving(2))
    assert lost.decides() == name(1)
    assert lost.rules.unserved is not None


def test_texts_in_memory_are_bounded_and_the_newest_stay(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "SOURCES_MAX", 3)
    scene.offer(*(version(limit) for limit in range(2, 8)))
    assert list(scene.rules._sources) == [name(limit) for limit in (5, 6, 7)]
    monkeypatch.setattr(published, "SOURCES_CHARS_MAX", len(source(8)) * 2)
    scene.offer(version(8))
    assert list(scene.rules._sources) == [name(7), name(8)]
    scene.start(serving(8))
    assert scene.decides() == name(8)


def test_a_version_s_name_is_the_same_in_every_release() -> None:
    # Another name would make every published version one that "holds the rules of" another, and none could serve.
    assert name(900) == "r-08e972b08740"
