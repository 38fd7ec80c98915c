"""When a plan's stages are over, and what is said of a round that ends well."""

import hashlib
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from contract.federation.messages import Evaluated, RoundPlan
from contract.federation.settings import RoundSettings
from federation.coordinator.attempt import Candidate, build_publication, build_rules
from federation.coordinator.collection import Combined
from federation.coordinator.rounds import StageRules
from federation.secagg.graph import COMPLETE_GRAPH, RING_GRAPH, build_graph
from support.robust_round import robust_plan


def plan(size: int = 4, **changes: Any) -> RoundPlan:
    names = tuple(f"p{index:03}" for index in range(size))
    return replace(robust_plan(cohort=names, mode="masked"), **changes)


def test_masked_stages_come_in_order_and_more_must_stay_where_the_graph_is_a_ring() -> None:
    settings = RoundSettings(keys={"min_s": 1.5, "max_s": 20}, shares={"min_s": 2, "max_s": 30})
    rules = build_rules(plan(), settings)
    assert list(rules.stages) == ["keys", "shares", "updates", "unmasking"]
    assert rules.stages["keys"] == StageRules(3, 32, 1_500, 20_000)
    assert rules.stages["shares"] == StageRules(3, 32, 2_000, 30_000)
    for size in range(30, 37):
        cohort = plan(size)
        stay = COMPLETE_GRAPH if build_graph(cohort.cohort, b"seed").complete else RING_GRAPH
        assert build_rules(cohort, settings).more_than == stay, "as many must stay as the members' graph asks for"
    assert {build_rules(plan(size), settings).more_than for size in (33, 34)} == {COMPLETE_GRAPH, RING_GRAPH}


def test_a_robust_round_has_one_stage_with_the_time_of_keys_and_nobody_must_stay() -> None:
    rules = build_rules(plan(mode="robust"), RoundSettings(mode="robust", keys={"min_s": 7, "max_s": 70}))
    assert rules.stages == {"updates": StageRules(3, 32, 7_000, 70_000)}
    assert rules.more_than == (0, 1)


@pytest.mark.parametrize(("count_min", "count_max", "least", "most"), [(None, None, 3, 32), (2, 9, 3, 9), (5, 5, 5, 5)])
def test_a_stage_waits_for_its_own_numbers_and_never_for_fewer_than_the_plan_promises(
    count_min: int | None, count_max: int | None, least: int, most: int
) -> None:
    settings = RoundSettings(mode="robust", keys={"count_min": count_min, "count_max": count_max})
    rules = build_rules(plan(mode="robust"), settings)
    assert (rules.stages["updates"].count_min, rules.stages["updates"].count_max) == (least, most)


def test_a_full_buffer_is_a_step() -> None:
    rules = build_rules(plan(mode="robust", staleness_max=2), RoundSettings(mode="robust", keys={"count_min": 4}))
    assert (rules.stages["updates"].count_min, rules.stages["updates"].count_max) == (3, 3)


@pytest.mark.parametrize(("purpose", "trainings"), [("training", 8), ("statistics", 7)])
def test_what_is_published_is_the_candidate_and_only_trainings_count(purpose: str, trainings: int) -> None:
    candidate = Candidate(
        payload=b"abcd", optimiser=b"", combined=Combined(np.zeros(1), 2.5, 3, {}), reputations={},
        evaluated=Evaluated(model_version=9, metrics={"ap": 0.5}), contributions={},
    )  # fmt: skip
    published, model = build_publication(plan(purpose=purpose), candidate, trainings=7, calibration=True)
    assert (published.model_version, published.payload_sha256) == (9, hashlib.sha256(b"abcd").digest())
    assert (model.model_version, model.base_version, model.payload) == (9, 6, b"abcd")
    assert (model.shapes, model.participants, model.weight, model.metrics) == (plan().shapes, 3, 2.5, {"ap": 0.5})
    assert (model.purpose, model.calibration_follows, model.trainings) == (purpose, True, trainings)
