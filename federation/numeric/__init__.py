"""Arrays: vectors, fixed point, compression, robust rules, server strategies. Pure; knows no message."""
