"""Masked sums: the coordinator learns the sum and nothing else of anybody. Pure."""
