"""One module per change of the checkpoints' schema."""
