"""Drift of the serving model: whether what it sees, says or achieves has changed since it was trained. Everything here is pure."""
