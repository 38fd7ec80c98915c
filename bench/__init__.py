"""Benchmarks: each one command, each with its baseline in the same run, each printing a table and writing JSON."""
