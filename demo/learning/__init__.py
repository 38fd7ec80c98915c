"""The second act: a new kind of fraud, its labels, and the model that learns it."""
