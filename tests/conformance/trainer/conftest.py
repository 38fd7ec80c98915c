"""A tiny trained model, made once."""

import numpy as np
import pytest

from contract.features import get_feature_names, get_schema
from trainer.examples.examples import Examples


def made(rows: int = 3_000, seed: int = 11) -> Examples:
    """Examples in which the amount, the customer's count and the channel tell frauds; entities that are mostly absent."""
    random = np.random.default_rng(seed)
    features = np.exp(random.normal(size=(rows, len(get_schema())))).astype(np.float32)
    for column, feature in enumerate(get_schema()):
        if feature.buckets:
            features[:, column] = random.integers(0, 4, rows)
    customer = slice(get_feature_names().index("customer_count_1m"), get_feature_names().index("card_count_1m"))
    features[:, customer] = np.where(random.random((rows, 1)) < 0.3, np.nan, features[:, customer])
    features[:, get_feature_names().index("terminal_count_1m") :] = np.nan
    signal = 2 * np.log(features[:, 0]) + 2.0 * (features[:, get_feature_names().index("channel")] == 2) - 4
    return Examples(
        event_time_ms=1_700_000_000_000 + np.arange(rows) * 60_000,
        features=features,
        fraud=random.random(rows) < 1 / (1 + np.exp(-signal)),
        amount=features[:, 0].astype(np.float64) * 50,
    )


@pytest.fixture(scope="session")
def examples() -> Examples:
    return made()
