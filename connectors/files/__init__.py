"""Files as a source: Parquet, CSV and JSON lines, one or many, replayed as one history in event-time order."""
