"""The models of a worker: kept, checked, swapped, run within a time limit."""
