"""What every process needs and no domain knows: files, databases, locks, logs, signals, YAML, Kafka."""
