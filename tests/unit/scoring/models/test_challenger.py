"""A challenger runs next to the serving model and never disturbs it."""

from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contract.features import get_feature_names
from contract.metrics import Metrics
from contract.models import ModelPromotion
from contract.package import build_package, hash_package, to_messages, to_promotion
from scoring.models.cache import LOADED_MAX, ModelCache
from support.tiny_model import NOW, graph, tiny_challenge, tiny_manifest, tiny_messages, tiny_package

OLD, NEW = tiny_package("old"), tiny_package("new", bias=-1.0)


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    made = ModelCache(tmp_path, "shop", Metrics())
    offer(made, *tiny_messages(OLD, "old"), *to_messages(NEW))
    return made


def offer(cache: ModelCache, *messages: tuple[bytes, bytes]) -> None:
    for _, value in messages:
        cache.offer(value)


def state(cache: ModelCache) -> tuple[str | None, str | None, str | None, float]:
    """Version that serves, version that challenges, how, and for what share."""
    one, serving = cache.challenger, cache.serving
    serves = serving.version if serving else None
    return (serves, one.model.version, one.mode, one.share) if one else (serves, None, None, 0.0)


def sample(cache: ModelCache, name: str, **labels: str) -> float | None:
    return cache._metrics.registry.get_sample_value(name, {"retailer": "shop"} | labels)


def promotion(package: bytes, version: str, after_s: float) -> tuple[bytes, bytes]:
    return to_promotion(
        ModelPromotion(
            model_version=version,
            package_sha256=hash_package(package),
            promoted_at=NOW + timedelta(seconds=after_s),
            promoted_by="test",
        )
    )


def test_a_challenger_runs_in_shadow_or_as_a_canary_and_is_withdrawn(cache: ModelCache) -> None:
    assert state(cache) == ("old", None, None, 0)
    offer(cache, tiny_challenge(NEW, "new"))
    assert state(cache) == ("old", "new", "shadow", 0)
    assert sample(cache, "tillguard_scoring_challenger_info", model_version="new", mode="shadow") == 1
    offer(cache, tiny_challenge(NEW, "new", share=0.25))
    assert state(cache) == ("old", "new", "canary", 0.25)
    assert sample(cache, "tillguard_scoring_challenger_info", model_version="new", mode="shadow") == 0
    assert sample(cache, "tillguard_scoring_challenger_info", model_version="new", mode="canary") == 1
    offer(cache, tiny_challenge(None, None))
    assert state(cache) == ("old", None, None, 0)
    assert sample(cache, "tillguard_scoring_challenger_info", model_version="new", mode="canary") == 0


def test_a_challenge_waits_for_its_package_and_then_for_nothing(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path, "shop", Metrics())
    offer(cache, tiny_challenge(NEW, "new"), *tiny_messages(OLD, "old"))
    assert state(cache) == ("old", None, None, 0)
    offer(cache, *to_messages(NEW))
    assert state(cache) == ("old", "new", "shadow", 0)


def test_a_newer_challenge_ends_the_one_before_though_its_package_is_not_here(cache: ModelCache) -> None:
    offer(cache, tiny_challenge(NEW, "new"), tiny_challenge(tiny_package("third"), "third"))
    assert state(cache) == ("old", None, None, 0)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (tiny_challenge(OLD, "new"), "checksum"),
        (tiny_challenge(NEW, "../evil"), "format"),
        (tiny_challenge(None, "new"), "format"),
        ((b"challenger", tiny_challenge(NEW, "new")[1].replace(b'"shadow"', b'"duel"')), "format"),
        ((b"challenger", tiny_challenge(NEW, "new", share=1.0)[1].replace(b"1.0", b"1.5")), "format"),
    ],
)
def test_a_challenge_that_cannot_be_is_refused_and_the_serving_model_goes_on(
    cache: ModelCache, message: tuple[bytes, bytes], reason: str
) -> None:
    serving = cache.serving
    offer(cache, message)
    assert sample(cache, "tillguard_scoring_packages_refused_total", reason=reason) == 1
    assert state(cache) == ("old", None, None, 0)
    assert cache.serving is serving


def test_a_challenger_whose_model_does_not_work_is_refused(cache: ModelCache) -> None:
    width = len(get_feature_names())
    onnx = graph([(np.zeros((width, 1), np.float32), np.array([7.0], np.float32))], output="Identity")
    bad = build_package(tiny_manifest(onnx, "bad"), onnx)
    offer(cache, tiny_challenge(bad, "bad", share=1.0), *to_messages(bad))
    assert sample(cache, "tillguard_scoring_packages_refused_total", reason="output") == 1
    assert state(cache) == ("old", None, None, 0)


def test_who_is_promoted_challenges_no_more(cache: ModelCache) -> None:
    offer(cache, tiny_challenge(NEW, "new", share=0.5), promotion(NEW, "new", 2))
    assert state(cache) == ("new", None, None, 0)
    offer(cache, tiny_challenge(OLD, "old", share=0.5, after_s=3))
    assert state(cache) == ("new", "old", "canary", 0.5)


def test_going_back_ends_a_canary_on_a_worker_that_saw_it_all_and_on_one_that_starts_now(tmp_path: Path) -> None:
    """Compaction leaves the new worker less to read, and both must answer the same customers by the same model."""
    packages = [*to_messages(OLD), *to_messages(NEW)]
    challenge = tiny_challenge(NEW, "new", share=0.5)
    back = promotion(OLD, "old", 3)
    whole, compacted = (ModelCache(tmp_path / name, "shop", Metrics()) for name in ("whole", "compacted"))
    offer(whole, *packages, promotion(OLD, "old", 0), challenge, promotion(NEW, "new", 2), back)
    offer(compacted, *packages, challenge, back)
    assert state(whole) == state(compacted) == ("old", "new", "shadow", 0)


def test_a_challenger_is_had_without_loading_it_again_however_many_others_are_asked_for(cache: ModelCache) -> None:
    offer(cache, tiny_challenge(NEW, "new"))
    for number in range(LOADED_MAX + 1):
        offer(cache, *to_messages(tiny_package(f"m-{number}")))
        assert cache.get(f"m-{number}") is not None
    assert cache.challenger is not None
    assert cache.get("new") is cache.challenger.model


def test_a_withdrawal_before_any_challenge_changes_nothing(cache: ModelCache) -> None:
    offer(cache, tiny_challenge(None, None))
    assert state(cache) == ("old", None, None, 0)
    assert msgspec.json.decode(tiny_challenge(None, None)[1])["model_version"] is None
