"""Models that were registered, which one serves, and why."""
