"""Composition roots: which parts make a worker, and which a trainer."""
