"""What the demonstration shows: the screen, the closing words, the report."""
