"""Starts servers that outlive the command, and recognises them later without ever mistaking another process for one.

Invariant: a signal goes through a pidfd that was opened before the identity was compared, so a reused pid is never hit.
"""

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}
"""Started by this very process, to be reaped when they end."""


EXEC_WAIT_S = 10.0


class Identity(msgspec.Struct, frozen=True):
    """What tells a process from a later one with the same pid."""

    pid: int
    started_ticks: int
    """Clock ticks after boot, field 22 of /proc/<pid>/stat."""
    boot_id: str
    command: tuple[str, ...]


def identify(pid: int) -> Identity | None:
    """The identity of a running process, or None if it is gone, a zombie, or not ours to read."""
    fields = _stat(pid)
    if fields is None or fields[0] in ("Z", "X"):
        return None
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    arguments = tuple(part.decode(errors="replace") for part in command.split(b"\0")[:-1])
    return Identity(pid, int(fields[19]), _boot_id(), arguments)


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/<pid>/stat from the third, the state, on."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name in parentheses may hold spaces and parentheses itself: fields count from the last one.
    return text.rpartition(")")[2].split()


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def is_alive(known: Identity) -> bool:
    """Whether exactly this process still runs."""
    return identify(known.pid) == known


def find(marker: str) -> list[Identity]:
    """Running processes of this user that carry `marker` as one whole argument (a path that only one server is given)."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            if entry.stat().st_uid != os.geteuid():
                continue
        except OSError:
            continue
        seen = identify(int(entry.name))
        if seen is not None and marker in seen.command:
            found.append(seen)
    return found


def spawn(
    command: Sequence[str], environment: Mapping[str, str], log: Path, folder: Path, *, die_with_parent: bool
) -> Identity:
    """Starts `command` in `folder` and a session of its own, its output appended to `log`; raises OSError.

    `die_with_parent` is for tests: the kernel kills the server when the thread that started it ends in any way.
    """
    guard = shutil.which("setpriv") if die_with_parent else None
    full = [guard, "--pdeathsig", "KILL", "--", *command] if guard else list(command)
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603 - our own command line
            full,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _CHILDREN[child.pid] = child
    return _recognisable(child, tuple(command))


def _recognisable(child: subprocess.Popen[bytes], command: tuple[str, ...]) -> Identity:
    """Waits until the child runs `command` itself: before, it is a copy of this process or the guard."""
    deadline = time.monotonic() + EXEC_WAIT_S
    while child.poll() is None and time.monotonic() < deadline:
        seen = identify(child.pid)
        if seen is not None and seen.command == command:
            return seen
        time.sleep(0.002)
    if child.poll() is None:
        child.kill()
        child.wait()
    del _CHILDREN[child.pid]
    raise OSError(f"{command[0]} ended at once")


def send(known: Identity, number: signal.Signals) -> None:
    """Signals exactly this process; does nothing if it is gone."""
    descriptor = _open(known)
    if descriptor is not None:
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(descriptor)


def wait(known: Identity, timeout_s: float) -> bool:
    """Whether the process, every thread of it, has ended within `timeout_s`; its ports and files are free then."""
    descriptor = _open(known)
    if descriptor is not None:
        try:
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            if not poller.poll(timeout_s * 1000):
                return False
        finally:
            os.close(descriptor)
    reap()
    return True


def reap() -> None:
    """Takes the exit status of every child of ours that has ended."""
    for pid, child in list(_CHILDREN.items()):
        if child.poll() is not None:
            del _CHILDREN[pid]


def _open(known: Identity) -> int | None:
    """A pidfd of exactly this process, or None if it is gone.

    The command line is not compared: it is empty once the first thread has ended, while others may still hold a port.
    """
    try:
        descriptor = os.pidfd_open(known.pid)
    except OSError:
        return None
    if _started_ticks(known.pid) == known.started_ticks and known.boot_id == _boot_id():
        return descriptor
    os.close(descriptor)
    return None


def _started_ticks(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[19]) if fields else None
