"""One module per change of the read model's schema."""
