"""How federation messages travel: one port, in memory and over Kafka."""
