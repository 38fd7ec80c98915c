"""Replays what the live phase saw, and scores it again with the same model."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import numpy as np

from contract.package import read_package
from contract.settings import Settings
from demo.tally import Judged, Tally
from demo.telling.comparison import summarise
from tillguard.history import skew
from trainer.model.run_onnx import run_onnx
from trainer.registry.registry import Registry


def compare(settings: Sequence[Settings], tallies: Sequence[Tally], lock: threading.Lock) -> dict[str, Any]:
    """Over all retailers: transactions compared and different, why, and the average precision of the score, served and replayed."""
    with lock:
        judged = [tally.list_judged() for tally in tallies]
    with ThreadPoolExecutor(len(settings)) as pool:
        found = list(pool.map(_checked, settings, judged))
    return summarise([one.skew for one, _ in found], [pair for _, pairs in found for pair in pairs], judged)


def _checked(settings: Settings, judged: Sequence[Judged]) -> tuple[skew.Checked, list[tuple[str, float]]]:
    found = skew.check(settings, max(1, len(judged)), now=datetime.now(UTC))
    scores = _scores(settings, found.replayed) if len(found.transaction_ids) else np.empty(0)
    return found, list(zip(found.transaction_ids, scores.tolist(), strict=True))


def _scores(settings: Settings, features: np.ndarray) -> np.ndarray:
    trainer = settings.trainer
    registry = Registry(trainer.registry_url.get_secret_value(), trainer.registry_directory)
    try:
        serving = registry.find_serving(settings.retailer)
        if serving is None:
            return np.full(len(features), np.nan)
        return run_onnx(read_package(registry.read_package(serving)).onnx, features)
    finally:
        registry.close()
