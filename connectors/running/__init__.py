"""A running connector: from a source to Kafka, with limits, and positions that move only after delivery."""
