import errno
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import pytest

from embedded import artifacts
from embedded.artifacts import Artifact
from embedded.errors import PrerequisiteError

CONTENT = bytes(range(256)) * 4096


class Repository:
    """A Maven repository on the loopback interface; `answers` are taken one after the other, the last one forever."""

    def __init__(self, *answers: bytes | int) -> None:
        self.requests = 0
        self._answers = list(answers)
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = outer._next()
                self.send_response(answer if isinstance(answer, int) else 200)
                body = b"" if isinstance(answer, int) else answer
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def _next(self) -> bytes | int:
        with self._lock:
            self.requests += 1
            return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "FIRST_PAUSE_S", 0.0)


@pytest.fixture
def lines() -> list[str]:
    return []


def artifact(content: bytes = CONTENT, name: str = "thing") -> Artifact:
    return Artifact(f"org.example:{name}:1.0", len(content), hashlib.sha256(content).hexdigest())


def fetch(cache: Path, lines: list[str], *wanted: Artifact) -> list[Path]:
    return artifacts.fetch(wanted or [artifact()], cache, lines.append, label="Thing")


def test_an_artifact_is_downloaded_once_with_progress_up_to_the_whole(
    tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Repository(CONTENT) as repository:
        monkeypatch.setenv("TILLGUARD_MAVEN_URL", repository.url)
        (file,) = fetch(tmp_path, lines)
        assert fetch(tmp_path, lines) == [file]
        assert repository.requests == 1
    assert file.read_bytes() == CONTENT
    assert lines == ["Thing: 1 of 1 MB downloaded"]


def test_a_large_download_reports_every_tenth(
    tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(12_000_000)
    with Repository(content) as repository:
        monkeypatch.setenv("TILLGUARD_MAVEN_URL", repository.url)
        fetch(tmp_path, lines, artifact(content))
    assert len(lines) == 10
    assert lines[-1] == "Thing: 12 of 12 MB downloaded"


@pytest.mark.parametrize("bad", [CONTENT[:-1], CONTENT + b"x", b"\0" * len(CONTENT), b"", 500, 404])
def test_what_is_not_the_pinned_file_is_refused_and_leaves_nothing(
    tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch, bad: bytes | int
) -> None:
    with Repository(bad) as repository:
        monkeypatch.setenv("TILLGUARD_MAVEN_URL", repository.url)
        with pytest.raises(PrerequisiteError, match=r"org\.example:thing:1\.0 could not be downloaded"):
            fetch(tmp_path, lines)
        assert repository.requests == artifacts.TRIES
    assert [found for found in (tmp_path / "maven").rglob("*") if found.is_file()] == []


def test_a_failing_repository_is_asked_again(tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with Repository(503, CONTENT[:100], CONTENT) as repository:
        monkeypatch.setenv("TILLGUARD_MAVEN_URL", repository.url)
        (file,) = fetch(tmp_path, lines)
    assert file.read_bytes() == CONTENT


def test_without_a_network_the_message_names_the_artifact_and_the_remedy(
    tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Repository(200) as repository:
        address = repository.url
    monkeypatch.setenv("TILLGUARD_MAVEN_URL", address)
    with pytest.raises(PrerequisiteError, match="TILLGUARD_MAVEN_URL names a mirror"):
        fetch(tmp_path, lines)


def test_two_at_once_download_once(tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with Repository(CONTENT) as repository, ThreadPoolExecutor(4) as pool:
        monkeypatch.setenv("TILLGUARD_MAVEN_URL", repository.url)
        done = [pool.submit(fetch, tmp_path, lines) for _ in range(4)]
        assert len({tuple(result.result()) for result in done}) == 1
        assert repository.requests == 1


def test_the_leavings_of_a_killed_download_are_cleared(
    tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "maven" / "org/example/thing/1.0" / ".download-abc"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    with Repository(CONTENT) as repository:
        monkeypatch.setenv("TILLGUARD_MAVEN_URL", repository.url)
        fetch(tmp_path, lines)
    assert not left.exists()


def test_a_disk_that_is_too_small_is_told_before_the_download(tmp_path: Path, lines: list[str]) -> None:
    huge = Artifact("org.example:huge:1.0", 1 << 60, "0" * 64)
    with pytest.raises(PrerequisiteError, match=r"MB free, \d+ MB are needed"):
        fetch(tmp_path, lines, huge)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.ENOTDIR])
def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, code: int) -> None:
    with (
        pytest.raises(PrerequisiteError, match=rf"{tmp_path}.*(is full|cannot be written)"),
        artifacts.translate_write_errors(tmp_path),
    ):
        raise OSError(code, os.strerror(code))


def test_every_server_s_artifacts_are_pinned_by_size_and_digest() -> None:
    for service in ("kafka", "mariadb", "mongodb"):
        pins = artifacts.list_pinned(service)
        assert pins
        assert all(pin.size_bytes > 0 and len(pin.sha256) == 64 for pin in pins)
    assert artifacts.list_pinned("mongodb")[0].path == (
        "de/bwaldvogel/mongo-java-server/1.47.0/mongo-java-server-1.47.0.jar"
    )
