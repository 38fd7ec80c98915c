"""Topics made and read whole, and a writer that waits for delivery."""
