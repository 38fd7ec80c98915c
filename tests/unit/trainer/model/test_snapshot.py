"""A network as bytes and back."""

import dataclasses

import msgspec
import numpy as np
import pytest

from contract.errors import TrainingRefusedError
from contract.features import get_feature_names
from trainer.model.preprocessing import Constants, fit_constants
from trainer.model.snapshot import dump, load


def constants() -> Constants:
    return fit_constants(
        np.exp(np.random.default_rng(1).normal(size=(200, len(get_feature_names())))).astype(np.float32)
    )


WEIGHTS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.array([1.5], dtype=np.float32),
    np.zeros((0, 4), dtype=np.float32),
]


def test_what_was_kept_comes_back_number_for_number() -> None:
    kept = constants()
    again = load(dump(kept, WEIGHTS))
    for field in dataclasses.fields(Constants):
        was, now = getattr(kept, field.name), getattr(again.constants, field.name)
        assert was.dtype == now.dtype
        assert np.array_equal(was, now)
    for was, now in zip(WEIGHTS, again.weights, strict=True):
        assert was.shape == now.shape
        assert np.array_equal(was, now)
    assert again.weights[0].flags.writeable


def test_the_same_network_gives_the_same_bytes() -> None:
    assert dump(constants(), WEIGHTS) == dump(constants(), WEIGHTS)


def test_bytes_that_are_no_network_are_refused_in_one_sentence() -> None:
    whole = dump(constants(), WEIGHTS)
    document = msgspec.msgpack.decode(whole)
    strange = [
        document | {"format": 2},
        document | {"weights": [["|O", [1], b"12345678"]]},
        document | {"weights": [["<f4", [3], b"1234"]]},
        {key: value for key, value in document.items() if key != "constants"},
        document | {"constants": {"mean": 1}},
    ]
    for data in (b"", b"PK", whole[:-3], *map(msgspec.msgpack.encode, strange)):
        with pytest.raises(TrainingRefusedError, match="network to learn on from"):
            load(data)


def test_what_is_no_number_is_not_kept() -> None:
    with pytest.raises(NotImplementedError):
        dump(constants(), [np.array(["text"])])
