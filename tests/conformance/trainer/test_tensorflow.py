import gc
import importlib
import sys

import pytest

from trainer.model import tensorflow


def test_a_hidden_package_cannot_be_imported_and_can_be_again_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with tensorflow._hidden(("colorsys",)), pytest.raises(ImportError):
        importlib.import_module("colorsys")
    assert importlib.import_module("colorsys").__name__ == "colorsys"


def test_a_package_that_is_loaded_already_stays() -> None:
    with tensorflow._hidden(("json",)):
        assert importlib.import_module("json") is sys.modules["json"] is not None


@pytest.mark.parametrize("was_on", [True, False])
def test_collecting_garbage_is_as_it_was_after_the_import(*, was_on: bool) -> None:
    if not was_on:
        gc.disable()
    try:
        with tensorflow._collected_once():
            assert not gc.isenabled()
        assert gc.isenabled() == was_on
    finally:
        gc.enable()
