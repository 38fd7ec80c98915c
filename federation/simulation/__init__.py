"""A whole federation in one process, with faults from a seed, and its report."""
