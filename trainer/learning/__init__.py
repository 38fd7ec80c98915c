"""One attempt to learn: material, training, judgement, publication."""
