"""From labelled history to a model package: examples, fit, calibration, thresholds, export, registry.

Knows neither windows nor connectors: it takes arrays of features and labels, and gives back a published package.
"""

import os

# TensorFlow reads these while it is imported, which any module of this package may cause: so they stand here. It would
# otherwise fill standard error with notes about CPU instructions and absent GPUs; oneDNN changes results between machines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
