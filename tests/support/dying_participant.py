"""A participant that is killed with -9 at an exact place of a round: FILE DATA KIND before|after, or FILE DATA training during.

It is `numpy_participant`; only its transport, or its learner, kills the process.
"""

import sys
from pathlib import Path

from federation.learning.learner import Task, Trained
from federation.learning.numpy_learner import NumpyLearner
from support import numpy_participant
from support.dying_transport import DyingTransport, die
from support.federation_kinds import Heading
from tillguard.federation import root


class DyingLearner(NumpyLearner):
    """Killed while it trains."""

    def train(self, task: Task) -> Trained:
        result = super().train(task)
        die(Heading("-", "training", task.round, task.attempt))
        return result


def main(file: str, data: str, kind: str, moment: str) -> None:
    """Runs until it is killed."""
    if kind == "training":
        numpy_participant.main(Path(file), Path(data), DyingLearner)
        return
    DyingTransport.kind, DyingTransport.moment = kind, moment
    setattr(root, "KafkaTransport", DyingTransport)  # noqa: B010 - the process dies where the test says
    numpy_participant.main(Path(file), Path(data))


if __name__ == "__main__":
    main(*sys.argv[1:])
