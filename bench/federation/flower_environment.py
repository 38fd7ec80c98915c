"""Flower in an environment of its own, made once from bench/federation/flower.txt (every file's hash checked) in the user's cache folder."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from contract.errors import ConfigurationError, TillguardError
from embedded.artifacts import find_default_cache

PINNED = Path(__file__).with_name("flower.txt")
DONE = "installed"
"""A file that is written last: a half-made environment is made again."""
INSTALL_MAX_S = 900.0
AUTHORITIES = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))
"""Companies that inspect TLS put theirs into the system's store."""


def get_folder(cache: Path, pinned: bytes, python: tuple[int, int]) -> Path:
    """The folder of this Python and these versions. Pure."""
    return cache / f"flower-{python[0]}.{python[1]}-{hashlib.sha256(pinned).hexdigest()[:16]}"


def ensure_python() -> Path:
    """The environment's Python, made where it is not there yet; needs the network then. Raises TillguardError."""
    folder = get_folder(find_default_cache(), PINNED.read_bytes(), sys.version_info[:2])
    found = folder / "bin" / "python"
    if not (folder / DONE).exists():
        _make(folder)
    return found


def _make(folder: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        raise ConfigurationError([f"{uv} does not exist: `make setup` installs it"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    if any(file.exists() for file in AUTHORITIES):
        environment.setdefault("UV_SYSTEM_CERTS", "1")
    _run([uv, "venv", "--quiet", "--python", sys.executable, folder], environment)
    environment["VIRTUAL_ENV"] = str(folder)
    _run([uv, "pip", "sync", "--quiet", "--compile-bytecode", "--require-hashes", PINNED], environment)
    (folder / DONE).touch()


def _run(command: list[str | Path], environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - uv of this environment
            command, env=environment, capture_output=True, text=True, timeout=INSTALL_MAX_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise TillguardError(f"installing Flower took longer than {INSTALL_MAX_S:g} s") from None
    if done.returncode:
        raise TillguardError(f"Flower could not be installed: {done.stderr.strip()[-500:]}")
