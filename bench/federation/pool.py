"""Banks whose local trainings run side by side, one process for each processor: a simulation's participants have machines of their own.

The learners stay the product's; only the training of a round is done for all banks at once, when the first of them is asked.
"""

import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bench.federation.local import Course
from bench.federation.trial import Bank, read_number
from federation.learning.learner import Learner, Task
from federation.learning.numpy_learner import Data, NumpyLearner, fit

Arrays = list[NDArray[np.float32]]
_examples: dict[str, Data] = {}
"""In a pool's process: what each bank trains on."""


def _keep(examples: dict[str, Data]) -> None:
    # As many processes as processors: matrices that were split further would only wait for each other. Ray does the same for its own.
    threadpool_limits(1)
    _examples.update(examples)


def _fit(name: str, task: Task, seed: int, dropout: float) -> Arrays:
    return fit(task.base, _examples[name], task, seed, dropout)


class Pool:
    """A context manager; its processes end with it."""

    def __init__(self, banks: Mapping[str, Bank], course: Course) -> None:
        """Every bank takes part in every round."""
        self._course = course
        self._names = sorted(banks, key=lambda name: len(banks[name].own.labels), reverse=True)
        self._executor = ProcessPoolExecutor(
            os.cpu_count() or 1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_keep,
            initargs=({name: bank.own for name, bank in banks.items()},),
        )
        self._asked = (-1, -1)
        self._found: dict[str, Future[Arrays]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(cancel_futures=True)

    def make_learner(self, name: str, bank: Bank) -> Learner:
        """Of one bank."""
        return _Pooled(self, name, bank, self._course)

    def train(self, name: str, task: Task) -> Arrays:
        """What this bank makes of the task; the first that asks in an attempt starts the training of all.

        For each layer weights (inputs, units) and a bias (units,), float32.
        """
        if (task.round, task.attempt) != self._asked:
            self._asked = (task.round, task.attempt)
            # The longest first, so that no process is left with it while the others have nothing to do.
            self._found = {
                each: self._executor.submit(
                    _fit, each, task, derive_seed(self._course, each) + task.seed, self._course.dropout
                )
                for each in self._names
            }
        return self._found[name].result()


def derive_seed(course: Course, name: str) -> int:
    """A bank's own part of it."""
    return course.seed + read_number(name)


class _Pooled(NumpyLearner):
    def __init__(self, pool: Pool, name: str, bank: Bank, course: Course) -> None:
        super().__init__(bank.own, bank.newest, seed=derive_seed(course, name), dropout=course.dropout)
        self._pool = pool
        self._name = name

    def _fitted(self, task: Task) -> Arrays:
        return self._pool.train(self._name, task)
