"""Starts servers that outlive the command, and recognises them later without ever mistaking another process for one.

Invariant: a signal goes through a pidfd that was opened before the identity was compared, so a reused pid is never hit.
"""

import os
import select
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}
"""Started by this very process, to be reaped when they end."""


class Identity(msgspec.Struct, frozen=True):
    """What tells a process from a later one with the same pid."""

    pid: int
    started_ticks: int
    """Clock ticks after boot, field 22 of /proc/<pid>/stat."""
    boot_id: str
    command: tuple[str, ...]


def identify(pid: int) -> Identity | None:
    """The identity of a running process, or None if it is gone, a zombie, or not ours to read."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold spaces and parentheses itself: fields count from the last one.
    fields = stat.rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        return None
    arguments = tuple(part.decode(errors="replace") for part in command.split(b"\0")[:-1])
    return Identity(pid, int(fields[19]), _boot_id(), arguments)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def alive(known: Identity) -> bool:
    """Whether exactly this process still runs."""
    return _same(known, identify(known.pid))


def _same(known: Identity, seen: Identity | None) -> bool:
    return (
        seen is not None
        and (seen.pid, seen.started_ticks, seen.boot_id) == (known.pid, known.started_ticks, known.boot_id)
        and known.command == seen.command[-len(known.command) :]
    )


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
    seen = identify(child.pid)
    if seen is None:
        reap(child.pid)
        raise OSError(f"{command[0]} ended at once")
    return Identity(seen.pid, seen.started_ticks, seen.boot_id, tuple(command))


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
    """Whether the process has ended within `timeout_s`."""
    descriptor = _open(known)
    if descriptor is not None:
        try:
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            if not poller.poll(timeout_s * 1000):
                return False
        finally:
            os.close(descriptor)
    reap(known.pid)
    return True


def reap(pid: int) -> None:
    """Takes the exit status of a child of ours that has ended."""
    child = _CHILDREN.get(pid)
    if child is not None and child.poll() is not None:
        del _CHILDREN[pid]


def _open(known: Identity) -> int | None:
    try:
        descriptor = os.pidfd_open(known.pid)
    except OSError:
        return None
    if alive(known):
        return descriptor
    os.close(descriptor)
    return None
