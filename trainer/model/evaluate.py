"""Measures of a scored slice. Pure; every number is finite, and what cannot be measured is left out."""

import numpy as np
from numpy.typing import NDArray

from contract.models import Thresholds
from contract.statistics.ranking import auc, average_precision

BINS = 10


def compute_calibration_error(score: NDArray[np.floating], fraud: NDArray[np.bool_]) -> float:
    """Expected calibration error: |mean score - share of frauds| over BINS bins of equal size by rank, weighted.

    `score` (within [0, 1]) and `fraud` have the shape (n,), n >= 1.
    """
    order = np.argsort(score, kind="stable")
    return float(
        sum(
            len(rows) / len(score) * abs(float(score[rows].mean()) - float(fraud[rows].mean()))
            for rows in np.array_split(order, BINS)
            if len(rows)
        )
    )


def measure(score: NDArray[np.floating], fraud: NDArray[np.bool_], thresholds: Thresholds) -> dict[str, float]:
    """All measures of n >= 1 scores with both kinds present.

    `precision_<d>`, `recall_<d>` and `share_<d>` are of everything from threshold d on (share_hold includes what is
    blocked); `decided_<d>` is the share of transactions that get exactly decision d.

    `score` (within [0, 1]) and `fraud` have the shape (n,).
    """
    score = score.astype(np.float64)
    measures = {
        "transactions": float(len(score)),
        "frauds": float(fraud.sum()),
        "auc_roc": auc(score, fraud),
        "average_precision": average_precision(score, fraud),
        "brier": float(np.mean((score - fraud) ** 2)),
        "calibration_error": compute_calibration_error(score, fraud),
    }
    reached = {name: score >= getattr(thresholds, name) for name in ("flag", "hold", "block")}
    for name, rows in reached.items():
        measures[f"share_{name}"] = float(rows.mean())
        measures[f"recall_{name}"] = float(fraud[rows].sum() / fraud.sum())
        if rows.any():
            measures[f"precision_{name}"] = float(fraud[rows].mean())
    shares = [1.0, *(measures[f"share_{name}"] for name in reached), 0.0]
    for index, name in enumerate(("allow", *reached)):
        measures[f"decided_{name}"] = shares[index] - shares[index + 1]
    return measures
