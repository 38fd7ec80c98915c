"""Measures and fits that scoring, training and federation must compute alike. Pure."""
