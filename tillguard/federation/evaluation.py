"""Labelled examples that a coordinator may hold, and how a global model does on them.

The file is named float arrays (.npz): `features`, shape (n, features), float32 in the order of docs/features.md, NaN where a value is
missing; `labels`, shape (n,), true for fraud; `feature_schema`, the hash of the schema. Nobody may have trained on these examples.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.errors import ConfigurationError, TillguardError, TrainingRefusedError
from contract.features import get_feature_names, get_schema_hash
from contract.federation.settings import FederationSettings
from federation.coordinator.server_update import Evaluate
from federation.learning.learner import Arrays
from federation.learning.metrics import compute_probabilities, measure
from federation.refusals import UpdateRefusedError
from tillguard.federation.keys import read_arrays, read_model
from tillguard.federation.learner import RetailerLearner, get_shapes

EXAMPLES_MAX = 1_000_000
SETTING = "federation.coordinator.evaluation_file"


class Labelled(NamedTuple):
    """Examples whose outcome is known."""

    features: NDArray[np.float32]
    labels: NDArray[np.bool_]


def build_evaluator(settings: FederationSettings) -> Evaluate | None:
    """How a model does on the examples of the settings; None where they name none. Loads TensorFlow when first called.

    Raises ConfigurationError for a file that holds something else, and where the federation's model is not the common network.
    """
    file = settings.coordinator.evaluation_file
    if file is None:
        return None
    held = read_labelled(file)
    if read_model(settings.coordinator.model_file).shapes != get_shapes():
        raise ConfigurationError([f"{SETTING}: only the common network can be evaluated, model_file holds another"])

    def evaluate(arrays: Arrays) -> dict[str, float]:
        from trainer.federated import local_round  # noqa: PLC0415 - it imports TensorFlow

        try:
            logits = local_round.compute_logits(arrays, held.features)
        except TrainingRefusedError as error:
            raise UpdateRefusedError("schema", str(error)) from None
        if not np.isfinite(logits).all():
            raise UpdateRefusedError("not_finite", "the candidate's scores are no finite numbers")
        return measure(compute_probabilities(logits), held.labels)

    return evaluate


def read_labelled(file: Path) -> Labelled:
    """The examples in `file`; raises ConfigurationError with every fault."""
    arrays = read_arrays(file)
    missing = [name for name in ("features", "labels", "feature_schema") if name not in arrays]
    if missing:
        raise ConfigurationError([f"{SETTING}: {file} holds no {name}" for name in missing])
    features, labels = arrays["features"], arrays["labels"]
    width = len(get_feature_names())
    faults = {
        f"is of another feature schema than {get_schema_hash()}": str(arrays["feature_schema"]) != get_schema_hash(),
        f"features must have shape (n, {width}), n at most {EXAMPLES_MAX:,}": features.ndim != 2
        or features.shape[1] != width
        or len(features) > EXAMPLES_MAX
        or features.dtype.kind != "f",
        "labels must be true or false, one for each example": labels.shape != features.shape[:1]
        or labels.dtype != np.bool_,
        "features must not be infinite": features.dtype.kind == "f" and bool(np.isinf(features).any()),
        "needs a fraud and a genuine one at least": labels.dtype == np.bool_ and len(set(labels.ravel().tolist())) < 2,
    }
    found = [f"{SETTING}: {file}: {fault}" for fault, applies in faults.items() if applies]
    if found:
        raise ConfigurationError(found)
    return Labelled(features.astype(np.float32), labels.astype(np.bool_))


def write_labelled(learner: RetailerLearner, file: Path) -> int:
    """A retailer's newest examples with outcomes of trusted sources, for a coordinator to hold; gives how many there are.

    Raises TrainingUnableError where there are no examples, TillguardError where no fraud or no genuine one is among the newest, or
    the disk does not take the file.
    """
    features, labels = learner.read_newest()
    if len(set(labels.tolist())) < 2:
        raise TillguardError(
            f"among {len(labels)} newest examples with trusted outcomes there must be frauds and others"
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.chmod(0o600)  # also where an earlier file stands that others may read
        with file.open("wb") as stream:
            np.savez_compressed(
                stream, features=features, labels=labels, feature_schema=np.array(get_schema_hash()), allow_pickle=False
            )
    except OSError as error:
        raise TillguardError(f"{file} cannot be written: {error.strerror}") from None
    return len(labels)
