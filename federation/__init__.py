"""Learning together through one topic, without showing a customer record. Holds no code yet: it comes after the trainer."""
