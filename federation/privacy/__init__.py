"""What a release costs, and the budget that refuses one before it runs. Pure."""
