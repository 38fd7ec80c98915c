"""Keeps the servers' log files bounded and quotes their end in errors."""

from pathlib import Path

LOG_BYTES_MAX = 5_000_000
GENERATIONS = 3
QUOTED_LINES = 12
QUOTED_BYTES = 16_384


def rotate(log: Path) -> None:
    """Moves a large log aside before a start: .1 is the newest of GENERATIONS."""
    if not log.exists() or log.stat().st_size < LOG_BYTES_MAX:
        return
    for age in range(GENERATIONS - 1, 0, -1):
        older = log.with_name(f"{log.name}.{age}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{age + 1}"))
    log.replace(log.with_name(f"{log.name}.1"))


def read_tail(folder: Path, service: str) -> str:
    """The last lines of every current log of `service`."""
    return "\n".join(filter(None, (_last_lines(log) for log in sorted(folder.glob(f"{service}*.log")))))


def _last_lines(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - QUOTED_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(f"  {log.name}: {line[:300]}" for line in lines[-QUOTED_LINES:])
