"""Topics in and out of the trainer: features and labels in, outcomes out."""
