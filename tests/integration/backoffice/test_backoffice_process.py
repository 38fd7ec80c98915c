"""`tillguard backoffice run` as a user starts it: it tells each of its retailers that it runs."""

import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.status.words import describe_condition
from support import forked
from support.live_worker import DEADLINE_S, until
from tillguard.operations.process_list import read_processes

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


def told(heard: Any) -> tuple[str, str]:
    return heard.status.part, describe_condition(heard.status.condition)


def test_it_tells_a_retailer_that_it_serves_and_that_it_stopped(retailer: Any, tmp_path: Path) -> None:
    document = yaml.safe_load(retailer.file.read_text())
    retailer.file.write_text(yaml.safe_dump(document | {"status": {"every_s": 0.2}}))
    databases = {name: f"sqlite:///{tmp_path / name}.db" for name in ("database_url", "read_model_url")}
    file = tmp_path / "backoffice.yaml"
    office = databases | {"retailers": {retailer.name: str(retailer.file)}}
    file.write_text(yaml.safe_dump({"backoffice": office}))
    command = ["-m", "tillguard", "backoffice", "run", "--config", str(file), "--web-port", "0"]
    process = forked.start(command, log=tmp_path / "backoffice.log")
    try:
        until(
            lambda: [told(each) for each in read_processes(retailer.settings)] == [("backoffice", "serving")],
            "an open door",
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    (last,) = read_processes(retailer.settings)
    assert last.status.stopped
