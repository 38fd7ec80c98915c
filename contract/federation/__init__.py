"""What members of a federation agree on: messages, reasons and settings."""
