"""Nothing lost, one answer: every process is killed with -9 at random moments, and then everything is counted.

TILLGUARD_TEST_SEED=<number> repeats the moments, the victims and the rows of a run.
"""

import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support import crash_proof as proof
from support.crash_run import CrashRun, plan

pytestmark = pytest.mark.e2e


def survive(stack: Any, folder: Path, chance: random.Random, *, more: int) -> None:
    """One run with `more` blows beyond one of each kind, and every proof at its end."""
    with CrashRun(stack, folder, chance) as run:
        run.begin()
        for number, blow in enumerate(blows := plan(chance, more)):
            sys.stdout.write(f"{len(run.shop.committed)} rows: {blow}\n")
            if number == len(blows) // 2:
                run.publish("second")
            run.endure(blow)
        run.traffic.end()
        run.settle()
        run.read_everything_again()
        run.settle()
        run.stop()
        prove(run)


def prove(run: CrashRun) -> None:
    """The promises, by counting what stands in the table and on the topics."""
    rows, logs = run.shop.committed, {kind: log.read() for kind, log in run.logs.items()}
    verdicts, letters = proof.verdicts_of(logs["verdicts"]), proof.letters_of(logs["dead-letters"])
    given = Counter(verdict.revision for each in verdicts.values() for verdict in each)
    sys.stdout.write(f"{len(rows)} rows, {len(letters)} bad; verdicts by revision: {dict(sorted(given.items()))}\n")
    assert proof.unanswered(rows, verdicts, letters) == []
    assert proof.disagreements(verdicts) == []
    assert proof.left_degraded(verdicts) == []
    assert proof.left_held(verdicts) == []
    assert proof.window_faults(logs["transactions"], logs["features"], run.settings) == []
    # what the proofs are about did happen
    assert given[0] > 0
    assert given[1] > len(verdicts)
    assert given[2] > 0
    assert any(reason.code == "policy:breaker" for each in verdicts.values() for one in each for reason in one.reasons)
    assert {verdict.model_version for each in verdicts.values() for verdict in each} >= {"first", "second"}


@pytest.mark.timeout(600)
def test_nothing_is_lost_and_every_transaction_has_one_answer_though_every_process_is_killed(
    own_stack: Any, tmp_path: Path, chance: random.Random
) -> None:
    survive(own_stack, tmp_path, chance, more=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("run", range(20))
def test_that_holds_for_many_seeds_and_many_blows(
    own_stack: Any, tmp_path: Path, chance: random.Random, run: int
) -> None:
    survive(own_stack, tmp_path, chance, more=15)
