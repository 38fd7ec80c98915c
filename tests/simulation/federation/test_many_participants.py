"""More participants than a complete graph takes: masks on a ring, and hundreds of participants with faults."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from federation.secagg import coordinator_side, graph
from federation.simulation.world import World
from support.federation_ledger import ledger_of
from support.federation_proof import assert_counted_once, members_of, participants_of
from support.federation_world import small_settings, small_world, until_stage, weights_of
from tillguard.federation.simulation import read_description, run_description

RING = 40
LOST = ["shop-3", "shop-17", "shop-31"]
DESCRIPTION = """
title: two hundred shops
participants: 200
rounds: 3
hidden: [4]
data: {examples: 20000, features: 5, fraud_share: 0.1, skew: 1.0}
faults: {delay_ms_max: 300, duplication: 0.05, loss: 0.001, damage: 0.001, participant_crash: 0.0005, coordinator_crash: 1.0}
federation:
  cohort_min: 20
  cohort_max: 64
  attempts_max: 6
  keys: {min_s: 5, max_s: 60}
  shares: {min_s: 5, max_s: 60}
  updates: {min_s: 5, max_s: 60}
  unmasking: {min_s: 5, max_s: 60}
  training: {epochs: 1, learning_rate: 0.01}
"""


def made(mode: str) -> World:
    settings = small_settings(mode, cohort_max=64, robust={"rule": "mean", "weight_max": 1.0})
    world = small_world(settings, RING, examples=4_000)
    world.enrol_all()
    return world


def test_a_round_on_a_ring_ends_with_the_sum_of_those_who_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[graph.Graph] = []

    def watched(*arguments: Any) -> graph.Graph:
        graphs.append(graph.build_graph(*arguments))
        return graphs[-1]

    monkeypatch.setattr(coordinator_side, "build_graph", watched)
    masked, clear = made("masked"), made("robust")
    masked.order_rounds(1)
    until_stage(masked, "updates")
    masked.kill(LOST)
    masked.run_until(lambda: masked.coordinator.coordinator.idle)
    clear.kill(LOST)
    clear.run_rounds(1)
    assert [(one.complete, len(one.members)) for one in graphs] == [(False, RING)]
    assert_counted_once(ledger_of(masked), 1)
    assert [len(members) for members in members_of(ledger_of(masked), 1)] == [RING, RING, RING - 3, RING - 3]
    assert participants_of(masked) == participants_of(clear) == [RING - 3]
    both = [weights_of(world) for world in (masked, clear)]
    np.testing.assert_allclose(both[0], both[1], atol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_two_hundred_participants_with_faults_and_crashes_in_every_round(tmp_path: Path) -> None:
    file = tmp_path / "many.yaml"
    file.write_text(DESCRIPTION)
    results = run_description(read_description(file))
    assert [one.outcome for one in results.rounds] == ["model 1", "model 2", "model 3"]
    assert all(33 <= one.participants <= 64 for one in results.rounds), "on a ring"
    assert results.ledger_holds
    assert results.crashes >= 3
    assert results.dropped
