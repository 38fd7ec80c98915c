"""A trainer started as a user starts it."""

import json
import re
import signal
import sys
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import urlopen

from support import forked
from support.live_worker import DEADLINE_S, until


class LiveTrainer:
    """`tillguard trainer run` as a process; a context manager that leaves nothing running."""

    def __init__(self, config: Path, log: Path, *arguments: str) -> None:
        self.log = log
        self._address = log.with_suffix(".url")
        self._address.unlink(missing_ok=True)
        self._began = log.stat().st_size if log.exists() else 0
        command = ["-m", "tillguard", "trainer", "run", "--config", str(config)]
        command += ["--web-port", "0", "--address-file", str(self._address), *arguments]
        self.process = forked.start(command, log=log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
        sys.stdout.write(self.log.read_text(errors="replace")[-6000:])

    def page(self, path: str) -> tuple[int, str]:
        """Status and body of one of its web pages."""
        until(lambda: self._address.exists() or self.process.poll() is not None, "the trainer's address")
        try:
            with urlopen(f"{self._address.read_text().strip()}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """The sum over all series with these labels; 0 where there is none."""
        found = 0.0
        for line in self.page("/metrics")[1].splitlines():
            if line.startswith(f"{name}{{") and all(f'{key}="{value}"' in line for key, value in labels.items()):
                found += float(line.rsplit(" ", 1)[1])
        return found

    def events(self, event: str) -> list[dict[str, Any]]:
        """What this process logged under `event`."""
        text = self.log.read_bytes()[self._began :].decode(errors="replace")
        lines = [line for line in text.splitlines() if re.search(rf'"event": ?"{event}"', line)]
        return [json.loads(line) for line in lines]

    def await_event(self, event: str, within_s: float = 3 * DEADLINE_S) -> dict[str, Any]:
        def there() -> list[dict[str, Any]]:
            assert self.process.poll() is None, f"the trainer ended with {self.process.returncode}"
            return self.events(event)

        return until(there, f"{event} in the trainer's log", within_s)[-1]

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
