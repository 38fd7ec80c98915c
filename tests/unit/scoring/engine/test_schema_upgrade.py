"""The day of the upgrade: a model of feature schema 1 serves on, with reasons, and the log is one of schema 2."""

from pathlib import Path

import numpy as np

from contract.features import get_feature_names, get_schema_hash
from contract.package import build_package
from support.tiny_model import graph, tiny_manifest
from support.workbench import Workbench, features_of, transaction, verdict_of


def package_of_schema_1() -> bytes:
    width = len(get_feature_names(1))
    column = np.zeros((width, 1), dtype=np.float32)
    column[get_feature_names().index("amount"), 0] = 0.01
    onnx = graph([(column, np.array([-3.0], dtype=np.float32))], features=width)
    return build_package(
        tiny_manifest(onnx, feature_schema=get_schema_hash(1), features=width, ordinary=[0.0] * width), onnx
    )


def test_its_answers_name_groups_that_it_knows_and_the_feature_log_holds_all_columns(tmp_path: Path) -> None:
    bench = Workbench(tmp_path, model=package_of_schema_1())
    (outcome,) = bench.score(transaction(1, amount_minor=100_000, card="k1:1"))
    verdict = verdict_of(outcome)
    assert verdict.decision == "block"
    assert "group:amount" in [reason.code for reason in verdict.reasons]
    assert not {"group:risk", "group:unusual"} & {reason.code for reason in verdict.reasons}
    record = features_of(outcome)
    assert record.feature_schema == get_schema_hash()
    assert len(record.values) == 4 * len(get_feature_names())
