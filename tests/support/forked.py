"""Programs of the product that start in milliseconds: each is forked from a process that has loaded the product already.

The imports of one start take two to four seconds of processor time, and a run of all tests starts hundreds. In all else a program is
the process that a user starts: an argument list, an environment, a process id, signals and an exit code of its own. The
demonstration's tests start theirs as a user does, imports included.

One server per test process: it listens on a Unix socket, and ends when the test process does. For each request (a line of JSON)
it forks a keeper, which forks the program, answers with the program's process id, waits for it, and answers with its exit code.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PRELOADED = (
    "tillguard.cli", "scoring.worker.faust_app", "scoring.engine.engine", "scoring.feeds.librdkafka_feed", "scoring.store.redis_store",
    "connectors.assembly", "connectors.mysql.source", "connectors.mongodb.source", "trainer.registry.registry",
    "trainer.examples.store", "tillguard.federation.root", "support.dying_transport", "federation.learning.numpy_learner",
)  # fmt: skip
COMMAND_S_MAX = 360.0
_START_TIMEOUT_S = 120.0


class ForkedProcess:
    """A program that runs, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, connection: socket.socket, arguments: Sequence[str]) -> None:
        self._connection = connection
        self._arguments = list(arguments)
        self._said = b""
        self.returncode: int | None = None
        try:
            self.pid = int(self._line(_START_TIMEOUT_S))
        except BaseException:
            connection.close()
            raise

    def __del__(self) -> None:
        self._connection.close()  # also where nobody waited for the end

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            try:
                self.wait(0.0)
            except subprocess.TimeoutExpired:
                return None
        return self.returncode

    def wait(self, timeout_s: float | None = None) -> int:
        """The exit code, as soon as there is one; raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            self.returncode = int(self._line(timeout_s))
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Nothing, where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def _line(self, timeout_s: float | None) -> str:
        while b"\n" not in self._said:
            if not select.select([self._connection], [], [], timeout_s)[0]:
                raise subprocess.TimeoutExpired(self._arguments, timeout_s or 0.0)
            received = self._connection.recv(64)
            assert received, f"the keeper of {self._arguments} is gone"
            self._said += received
        line, self._said = self._said.split(b"\n", 1)
        return line.decode()


def start(
    arguments: Sequence[str], *, log: Path, errors: Path | None = None, environment: Mapping[str, str] | None = None
) -> ForkedProcess:
    """Runs `python ARGUMENTS`: a script, or -m and a module.

    Args:
        log: what it writes is appended there.
        errors: takes standard error, if given.
        environment: added to this process's.
    """
    log.touch()  # whoever reads it at once finds it
    address = _server()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    request = {
        "arguments": list(map(str, arguments)),
        "log": str(log),
        "errors": str(errors or log),
        "environment": os.environ | dict(environment or {}),
    }
    connection.sendall(json.dumps(request).encode() + b"\n")
    return ForkedProcess(connection, arguments)


def run(
    arguments: Sequence[str], *, environment: Mapping[str, str] | None = None, within_s: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `python ARGUMENTS` to its end; raises subprocess.TimeoutExpired, after which it does not run any more."""
    with tempfile.TemporaryDirectory() as folder:
        out, errors = Path(folder) / "out", Path(folder) / "errors"
        process = start(arguments, log=out, errors=errors, environment=environment)
        try:
            code = process.wait(within_s)
        finally:
            process.kill()
        return subprocess.CompletedProcess(list(arguments), code, out.read_text(), errors.read_text())


def tillguard(
    *arguments: str, environment: Mapping[str, str] | None = None, within_s: float = COMMAND_S_MAX
) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end, on a wide terminal: what it says stands on one line."""
    wide = {"COLUMNS": "200", **(environment or {})}
    return run(["-m", "tillguard", *arguments], environment=wide, within_s=within_s)


@cache
def _server() -> str:
    """The path of the socket of this process's server, which is started first."""
    folder = tempfile.mkdtemp(prefix="forked-")
    path = f"{folder}/socket"
    search = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    server = subprocess.Popen(
        [sys.executable, "-m", "support.forked", path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": search},
    )

    def stop() -> None:
        server.kill()
        server.wait()
        Path(path).unlink(missing_ok=True)
        Path(folder).rmdir()

    atexit.register(stop)
    assert server.stdout is not None
    assert server.stdout.readline() == b"listening\n", "the server of forked programs did not start"
    return path


def _serve(path: str) -> dict[str, Any]:
    """Serves until the test process has ended; returns in a forked program alone, with its request."""
    for module in PRELOADED:
        importlib.import_module(module)
    assert "onnxruntime" not in sys.modules, "it starts threads when it is imported, which no fork takes along"
    gc.freeze()  # the collector leaves what is shared with the programs alone
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no keeper is left as a zombie
    while True:
        ready = select.select([listener, sys.stdin], [], [])[0]
        if sys.stdin in ready:
            os._exit(0)
        connection, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            return _keep(connection)
        connection.close()


def _keep(connection: socket.socket) -> dict[str, Any]:
    """Forks the program, and tells the test of its beginning and its end; returns in the program alone."""
    request: dict[str, Any] = json.loads(connection.makefile().readline())
    program = os.fork()
    if program == 0:
        connection.close()
        return request
    try:
        connection.sendall(f"{program}\n".encode())
        code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
        connection.sendall(f"{code}\n".encode())
    except BrokenPipeError:  # the test did not wait for it
        pass
    finally:
        os._exit(0)


def _run(request: dict[str, Any]) -> None:
    """Becomes the program."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for descriptor, target in ((0, os.devnull), (1, request["log"]), (2, request["errors"])):
        opened = os.open(target, flags if descriptor else os.O_RDONLY)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(request["environment"])
    first, *others = request["arguments"]
    if first == "-m":
        sys.argv = others
        runpy.run_module(others[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *others]
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    _run(_serve(sys.argv[1]))
