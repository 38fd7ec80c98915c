"""Trainers next to the workers from the first transaction on: they tell the workers which frauds became known. They train nothing here."""

from collections.abc import Sequence
from typing import Self

from contract.settings import Settings
from demo.children import Children
from trainer.examples.store import ExampleStore

NEVER = "1000000000"
NO_TRAINING = {
    "TILLGUARD_TRAINER__TRAIN_EVERY_LABELS": NEVER,
    "TILLGUARD_TRAINER__TRAIN_EVERY_MINUTES": "525600",
}
"""The figures are those of the first model."""


def start(children: Children, retailer: str) -> None:
    """Starts the retailer's."""
    children.start(f"{retailer}-trainer", ["trainer", "run", "--retailer", retailer, "--web-port", "0"], NO_TRAINING)


class Stores:
    """What the trainers have taken in. A context manager."""

    def __init__(self, settings: Sequence[Settings]) -> None:
        self._stores = [ExampleStore(one.trainer.examples_url.get_secret_value(), one.retailer) for one in settings]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for store in self._stores:
            store.close()

    def count_examples(self) -> int:
        """Over all retailers."""
        return sum(store.count().total for store in self._stores)
