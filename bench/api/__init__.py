"""What the backoffice costs, each figure next to what it should be."""
