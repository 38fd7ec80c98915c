"""One module per change of the examples store's schema."""
