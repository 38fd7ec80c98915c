"""The model that a federation begins with: a given one, or the product's common network."""

from pathlib import Path

from contract.errors import TillguardError
from contract.federation.settings import FederationSettings
from runtime import atomic_file
from tillguard.federation.keys import read_model, write_model
from tillguard.federation.learner import build_initial_model


def begin_model(settings: FederationSettings, *, given: Path | None) -> None:
    """Writes the model file where there is none, or `given` (.npz) in any case.

    Raises ConfigurationError for a given file that holds no model, TillguardError where the disk does not take it.
    """
    file = settings.coordinator.model_file
    if given is not None:
        read_model(given)
        try:
            atomic_file.write(file, given.read_bytes())
        except OSError as error:
            raise TillguardError(f"{file} cannot be written: {error.strerror}") from None
    elif not file.exists():
        write_model(file, build_initial_model(settings.rounds.seed))
