"""Cross-site evaluation over a real Kafka, between processes: what the coordinator's people see, and when."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.federation.messages import Order
from federation.messages.cross_site import Sites
from support.federation_processes import DEADLINE_S, LOOK_AGAIN_S, Processes
from tillguard.federation import root

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture
def processes(stack: Any, retailer_name: str, tmp_path: Path) -> Iterator[Processes]:
    """Four, of which all but the last are willing to be compared; it is hidden among two."""
    found = Processes(
        tmp_path, retailer_name.replace("shop", "f"), stack.endpoints["kafka"].uri, 4,
        mode="robust", privacy={"level": "none"}, cross_site_every=1, cohort_min=2,
    )  # fmt: skip
    for shop in found.names[:3]:
        document = yaml.safe_load(found.file(shop).read_text())
        document["federation"]["participant"]["cross_site"] = True
        found.file(shop).write_text(yaml.safe_dump(document))
    try:
        yield found
    finally:
        found.stop()


def await_sites(processes: Processes, told: int) -> Sites:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        sites = root.read_cross_site(processes.settings)
        if sites is not None and len(sites.figures) >= told:
            return sites
        time.sleep(LOOK_AGAIN_S)
    raise AssertionError(f"the evaluation did not come; {processes.logs()}")


def test_the_coordinator_s_people_see_everyone_s_model_on_everyone_s_examples(processes: Processes) -> None:
    config = ["--config", str(processes.file("coordinator"))]
    assert "there was no evaluation yet" in processes.call("cross-site", *config)
    processes.enrol_all()
    for name in processes.names:
        processes.start(name)
    processes.start_coordinator()
    processes.order(Order(action="run", rounds=1))
    sites = await_sites(processes, told=2)
    assert len(sites.shown) == 2
    assert set(sites.shown) < set(processes.names[:3])
    assert all(list(row) == sorted(sites.shown) for row in sites.to_matrix().values())

    # While it runs, from what it has on its disk; and the same after it was killed.
    said = processes.call("cross-site", *config)
    for owner, row in sites.to_matrix().items():
        (line,) = [line for line in said.splitlines() if owner in line and "│" in line]
        assert [cell.strip() for cell in line.strip("│").split("│")][2:] == [f"{row[one]:.3f}" for one in sites.shown]
    assert "have an average precision of" in said
    assert processes.names[3] not in said
    processes.kill("coordinator")
    processes.start_coordinator()
    processes.order(Order(action="run", rounds=1))
    deadline = time.monotonic() + DEADLINE_S
    while (again := await_sites(processes, told=2)).model_version == sites.model_version:
        assert time.monotonic() < deadline, processes.logs()
        time.sleep(LOOK_AGAIN_S)
    assert again.model_version == 2
    audit = processes.call("audit", *config)
    assert "every link holds" in audit
