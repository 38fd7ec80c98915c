"""The model that a federation begins with: a given one, a pilot's small one, or the product's common network."""

from collections.abc import Sequence
from pathlib import Path

from contract.errors import TillguardError
from contract.federation_settings import FederationSettings
from federation.numpy_learner import initial_arrays, shapes_of
from tillguard.federation_keys import read_model, write_model
from tillguard.federation_learner import initial_model


def begin_model(
    settings: FederationSettings, *, given: Path | None, features: int | None, hidden: Sequence[int]
) -> None:
    """Writes the model file where there is none, or `given` (.npz) in any case; `features`: a pilot's inputs.

    Raises ConfigurationError for a given file that holds no model, TillguardError where the disk does not take it.
    """
    file, seed = settings.coordinator.model_file, settings.rounds.seed
    if given is not None:
        read_model(given)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(given.read_bytes())
        except OSError as error:
            raise TillguardError(f"{file} cannot be written: {error.strerror}") from None
    elif file.exists():
        return
    elif features is None:
        write_model(file, initial_model(seed))
    else:
        arrays = initial_arrays(features, hidden, seed=seed)
        shapes = shapes_of(features, hidden)
        write_model(file, {shape.name: array for shape, array in zip(shapes, arrays, strict=True)})
