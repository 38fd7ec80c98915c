"""AUC and average precision are those of scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from contract.statistics.ranking import auc, average_precision


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=2, max_size=80))
def test_auc_and_average_precision_are_those_of_scikit_learn_ties_included(rows: list[tuple[int, bool]]) -> None:
    score = np.array([value / 12 for value, _ in rows])
    fraud = np.array([kind for _, kind in rows])
    fraud[0], fraud[-1] = True, False
    assert auc(score, fraud) == pytest.approx(roc_auc_score(fraud, score))
    assert average_precision(score, fraud) == pytest.approx(average_precision_score(fraud, score))
