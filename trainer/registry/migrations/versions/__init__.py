"""One module per change of the registry's schema."""
