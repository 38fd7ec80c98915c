"""Commands at a real Kafka on a machine whose clock is wrong: they say so, and leave those alone that run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import forked
from support.federation_processes import Processes

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture
def processes(stack: Any, tmp_path: Path, retailer_name: str) -> Iterator[Processes]:
    made = Processes(tmp_path, f"f-{retailer_name}", stack.endpoints["kafka"].uri, 1)
    yield made
    made.stop()


def ended(*arguments: str, off_s: int) -> tuple[int, str]:
    """Exit code and words of a command on a machine whose clock is off by so much."""
    script = Path(forked.__file__).with_name("wrong_clock.py")
    done = forked.run([str(script), str(off_s), "federation", *arguments], within_s=240)
    return done.returncode, done.stdout + done.stderr


def test_a_wrong_start_says_what_is_wrong_and_leaves_those_alone_that_run(processes: Processes) -> None:
    (shop,) = processes.names
    processes.start_coordinator()
    processes.await_logged("coordinator_speaks")
    config = str(processes.file("coordinator"))
    for off_s, words in ((3_600, "60 minutes ahead"), (-7_200, "120 minutes behind")):
        code, said = ended("run", "--config", config, "--on-orders", off_s=off_s)
        assert code == 2, said
        assert words in said
        assert "Traceback" not in said
    code, said = ended("enrol", "--config", str(processes.file(shop)), off_s=3_600)
    assert (code, "60 minutes ahead" in said) == (2, True), said
    processes.enrol_all()
    processes.await_told(lambda told: told.roster is not None and len(told.roster.members) == 1, "the roster")
    assert processes.told().epoch == 1, "the coordinator that ran was never fenced off"
