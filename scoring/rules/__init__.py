"""Rules: read, checked, evaluated over batches, kept by version."""
