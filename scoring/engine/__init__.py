"""One batch from bytes to answers, and what is published of it. Knows neither Kafka, Faust nor Redis."""
