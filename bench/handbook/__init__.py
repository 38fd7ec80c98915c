"""Detection quality on the Fraud Detection Handbook, by the book's own protocol."""
