"""The network: preprocessing, fit, calibration, export to ONNX. Knows no store and no topic."""
