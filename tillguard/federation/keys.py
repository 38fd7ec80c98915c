"""Files of the federation: keys under their passphrase, and the model that the first round starts from."""

import io
import secrets
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.errors import ConfigurationError, TillguardError
from contract.federation.messages import TensorShape
from contract.federation.settings import CoordinatorSettings, ParticipantSettings
from federation.messages import identity as identities
from federation.messages.global_weights import GlobalWeights
from federation.messages.identity import Identity, PublicIdentity, read_secret
from federation.numeric.tensors import check_shapes, find_role, flatten
from federation.refusals import KeyStoreError
from runtime import atomic_file

Keys = CoordinatorSettings | ParticipantSettings


def read_passphrase(keys: Keys) -> bytes:
    """What opens the key file: a file, a setting, or the file that `make_identity` writes next to it."""
    if keys.passphrase_file is not None:
        return read_secret(keys.passphrase_file)
    if keys.passphrase is not None:
        return keys.passphrase.get_secret_value().encode()
    return read_secret(_generated_secret(keys))


def make_identity(name: str, keys: Keys) -> PublicIdentity:
    """The public half of `name`'s keys, made now where there are none. Without a passphrase in the settings one is made, too.

    Raises ConfigurationError where the file holds somebody else's.
    """
    if keys.key_file.exists():
        public = read_public_identity(keys)
        _check_name(public.name, name, keys)
        return public
    if keys.passphrase_file is None and keys.passphrase is None and not _generated_secret(keys).exists():
        _write_private(_generated_secret(keys), secrets.token_urlsafe(32).encode())
    identity = Identity.generate(name)
    with _named(keys):
        identity.save(keys.key_file, read_passphrase(keys))
    return identity.public


def load_identity(keys: Keys, command: str, name: str | None = None) -> Identity:
    """The keys of this process; where there are none, the message names the command that makes them.

    Raises ConfigurationError where they cannot be opened, or are not of `name`.
    """
    if not keys.key_file.exists():
        raise ConfigurationError([f"{keys.key_file} does not exist: `tillguard federation {command}` makes it"])
    with _named(keys):
        identity = Identity.load(keys.key_file, read_passphrase(keys))
    if name is not None:
        _check_name(identity.name, name, keys)
    return identity


def read_public_identity(keys: Keys) -> PublicIdentity:
    """The public half of the keys in the settings' file; raises ConfigurationError."""
    with _named(keys):
        return identities.read_public(keys.key_file)


def _check_name(found: str, name: str, keys: Keys) -> None:
    """Two retailers that share a key file would be one participant to everybody else."""
    if found != name:
        raise ConfigurationError(
            [f"{keys.key_file} holds the keys of {found}: give {name} a {_section(keys)}.key_file of its own"]
        )


@contextmanager
def _named(keys: Keys) -> Iterator[None]:
    """A key file that cannot be used is a matter of settings: no restart heals it, and the message names file and section."""
    try:
        yield
    except KeyStoreError as error:
        raise ConfigurationError([f"{_section(keys)}: {error.detail} (key_file is {keys.key_file})"]) from None


def _section(keys: Keys) -> str:
    return f"federation.{'coordinator' if isinstance(keys, CoordinatorSettings) else 'participant'}"


def _generated_secret(keys: Keys) -> Path:
    return keys.key_file.with_suffix(".passphrase")


def _write_private(file: Path, data: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with atomic_file.Staged({file: data}, mode=0o600) as staged:
            staged.settle_new()
    except OSError as error:
        raise TillguardError(f"{file} cannot be written: {error.strerror}") from None


def write_model(file: Path, arrays: dict[str, NDArray[np.float32]]) -> None:
    """Writes the global model that a federation begins with.

    Each array keeps its shape, such as weights (inputs, units) and biases (units,) for each layer.
    """
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    try:
        atomic_file.write(file, packed.getvalue())
    except OSError as error:
        raise TillguardError(f"{file} cannot be written: {error.strerror}") from None


def read_model(file: Path) -> GlobalWeights:
    """The global model in `file`, version 0; raises ConfigurationError for anything but named, finite float arrays."""
    arrays = {name: np.asarray(array, dtype=np.float32) for name, array in read_arrays(file).items()}
    if not arrays or not all(np.isfinite(array).all() for array in arrays.values()):
        raise ConfigurationError([f"{file}: every value must be finite"])
    shapes = tuple(
        TensorShape(name=name, shape=array.shape or (1,), role=find_role(name)) for name, array in arrays.items()
    )
    check_shapes(shapes)
    return GlobalWeights(version=0, shapes=shapes, payload=flatten(list(arrays.values())).tobytes())


def read_arrays(file: Path) -> dict[str, NDArray[np.generic]]:
    """The named arrays in an .npz file; raises ConfigurationError for anything else, and for arrays of objects.

    Arrays may be of any shape: whoever reads a model checks them against its own.
    """
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise ConfigurationError([f"{file} does not exist"]) from None
    except (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ConfigurationError([f"{file} holds no named arrays: {type(error).__name__}"]) from None
