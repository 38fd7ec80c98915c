"""Examples that a coordinator measures models on: what is no such file is refused before a round begins."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from contract.errors import ConfigurationError, TillguardError
from contract.features import get_feature_names, get_schema_hash
from contract.federation.settings import CoordinatorSettings, FederationSettings
from tillguard.cli import app
from tillguard.federation import keys
from tillguard.federation.evaluation import build_evaluator, read_labelled, write_labelled
from tillguard.federation.learner import RetailerLearner

FEATURES = np.zeros((4, len(get_feature_names())), np.float32)
GOOD: dict[str, Any] = {
    "features": FEATURES, "labels": np.array([True, False, False, True]), "feature_schema": np.array(get_schema_hash()),
}  # fmt: skip


def written(folder: Path, **changes: Any) -> Path:
    file = folder / "held.npz"
    np.savez(file, **{name: value for name, value in (GOOD | changes).items() if value is not None})
    return file


def test_examples_are_read_as_they_were_written(tmp_path: Path) -> None:
    missing = FEATURES.copy()
    missing[1, 2] = np.nan
    held = read_labelled(written(tmp_path, features=missing.astype(np.float64)))
    np.testing.assert_array_equal(held.features, missing)
    assert held.features.dtype == np.float32
    assert held.labels.tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": None}, "holds no labels"),
        ({"feature_schema": np.array("v0-other")}, "another feature schema"),
        ({"features": FEATURES[:, 1:]}, "features must have shape"),
        ({"features": FEATURES.astype(np.int64)}, "features must have shape"),
        ({"features": FEATURES[:3]}, "labels must be true or false"),
        ({"labels": np.array([0, 1, 0, 1])}, "labels must be true or false"),
        ({"labels": np.array([[True], [False], [True], [False]])}, "labels must be true or false"),
        ({"features": FEATURES + np.inf}, "must not be infinite"),
        ({"labels": np.zeros(4, np.bool_)}, "a fraud and a genuine one"),
    ],
)
def test_what_are_no_examples_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        read_labelled(written(tmp_path, **changes))
    assert len(error.value.faults) == 1
    assert words in error.value.faults[0]


def test_only_the_common_network_is_evaluated_and_without_a_file_none(tmp_path: Path) -> None:
    model = tmp_path / "model.npz"
    keys.write_model(model, {"w": np.zeros(3, np.float32)})
    without = CoordinatorSettings(model_file=model)
    assert build_evaluator(FederationSettings(coordinator=without)) is None
    held = without.model_copy(update={"evaluation_file": written(tmp_path)})
    with pytest.raises(ConfigurationError, match="only the common network"):
        build_evaluator(FederationSettings(coordinator=held))


def test_a_coordinator_does_not_start_with_a_file_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "coordinator.yaml"
    own = {"evaluation_file": str(tmp_path / "nothing.npz")}
    file.write_text(yaml.safe_dump({"federation": {"coordinator": own}}))
    done = CliRunner().invoke(app, ["federation", "run", "--config", str(file)])
    assert done.exit_code != 0
    assert "nothing.npz does not exist" in f"{done.output} {done.exception}"


class Shop(RetailerLearner):
    """A retailer whose newest examples are these; the integration test has one with a store."""

    def __init__(self, labels: list[bool]) -> None:
        self._labels = np.array(labels, np.bool_)

    def read_newest(self) -> tuple[np.ndarray, np.ndarray]:
        return np.full((len(self._labels), len(get_feature_names())), 0.5, np.float32), self._labels


def test_a_retailer_s_examples_are_for_its_owner_s_eyes_and_read_again_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "new" / "held.npz"
    assert write_labelled(Shop([True, False, False]), file) == 3
    assert file.stat().st_mode & 0o777 == 0o600
    held = read_labelled(file)
    assert held.labels.tolist() == [True, False, False]
    assert (held.features == 0.5).all()


@pytest.mark.parametrize("labels", [[], [False, False], [True]])
def test_examples_that_no_model_could_be_measured_on_are_not_written(tmp_path: Path, labels: list[bool]) -> None:
    with pytest.raises(TillguardError, match=f"among {len(labels)} newest"):
        write_labelled(Shop(labels), tmp_path / "held.npz")
    assert not (tmp_path / "held.npz").exists()


def test_a_file_that_cannot_be_written_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TillguardError, match="cannot be written"):
        write_labelled(Shop([True, False]), tmp_path / "file" / "held.npz")
