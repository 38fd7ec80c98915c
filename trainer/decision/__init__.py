"""Thresholds, costs, and whether a model is better. Pure."""
