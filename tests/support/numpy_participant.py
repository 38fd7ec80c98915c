"""A participant as a process, as `tillguard federation run --retailer` is one, that learns with numpy from a file.

    python numpy_participant.py SETTINGS DATA.npz

Loads no TensorFlow, so that tests can start many. DATA holds `features` and `labels`; their newest fifth judges global models.
"""

import signal
import sys
from pathlib import Path
from threading import Event

import numpy as np
import yaml

from contract.settings import parse
from federation.learning.numpy_learner import Data, NumpyLearner
from tillguard.federation import keys, root


def main(file: Path, data: Path, learner_type: type[NumpyLearner] = NumpyLearner) -> None:
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = parse(yaml.safe_load(file.read_text()), where=str(file)).federation
    with np.load(data) as arrays:
        features, labels = arrays["features"].astype(np.float32), arrays["labels"].astype(np.bool_)
    cut = round(len(labels) * 0.8)
    learner = learner_type(Data(features[:cut], labels[:cut]), Data(features[cut:], labels[cut:]), seed=0)
    root.run_participant(settings, keys.load_identity(settings.participant, "enrol"), learner, stop)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
