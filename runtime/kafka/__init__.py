"""Topics made and read whole, and a producer that threads share."""
