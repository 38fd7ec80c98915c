"""What a federation costs and gives, section by section, each with its baseline."""
