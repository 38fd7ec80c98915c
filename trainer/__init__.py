"""From labelled history to a model package: examples, fit, calibration, thresholds, export, registry."""
