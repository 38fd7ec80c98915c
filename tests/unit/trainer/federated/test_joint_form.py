"""The first layer that retailers have in common."""

from pathlib import Path

import numpy as np

from contract.features import get_schema
from tillguard.federation.keys import read_model, write_model
from tillguard.federation.learner import build_initial_model, get_shapes
from trainer.federated import joint_form
from trainer.model.plan import HIDDEN


def test_equal_schemas_have_equal_forms_and_another_form_has_other_names() -> None:
    one, other = joint_form.build_constants(), joint_form.build_constants()
    assert joint_form.hash_form(one) == joint_form.hash_form(other)
    narrow = joint_form.build_constants(get_schema()[:-1])
    assert joint_form.hash_form(narrow) != joint_form.hash_form(one)
    assert {tensor.name for tensor in joint_form.list_tensors(HIDDEN, narrow)}.isdisjoint(
        tensor.name for tensor in joint_form.list_tensors(HIDDEN, one)
    )


def test_every_feature_has_a_say_and_steps_rise() -> None:
    form = joint_form.build_constants()
    silent = [feature.name for feature, scale in zip(get_schema(), form.scale, strict=True) if scale == 0]
    assert silent == [feature.name for feature in get_schema() if feature.buckets]
    assert (np.diff(form.step_columns) >= 0).all()
    assert (form.step_slopes > 0).all()
    assert all(np.isfinite(array).all() for array in (form.mean, form.scale, form.step_starts, form.step_slopes))


def test_the_first_model_comes_from_its_seed_and_fits_the_plan(tmp_path: Path) -> None:
    model = build_initial_model(7)
    assert [(name, array.shape) for name, array in model.items()] == [(each.name, each.shape) for each in get_shapes()]
    write_model(tmp_path / "model.npz", model)
    assert read_model(tmp_path / "model.npz").shapes == get_shapes(), "roles come back from the names"
    assert all(np.array_equal(array, build_initial_model(7)[name]) for name, array in model.items())
    assert not np.array_equal(next(iter(model.values())), next(iter(build_initial_model(8).values())))


def test_a_model_is_taken_apart_and_put_together_again() -> None:
    arrays = [np.full(1, number, dtype=np.float32) for number in range(6)]
    parted = joint_form.split_arrays(arrays)
    assert (parted.weights, parted.statistics, parted.scaling) == (arrays[:4], arrays[4], arrays[5])
    assert parted.join() == arrays
