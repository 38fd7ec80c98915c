"""A retailer's side: whom it believes, what it refuses, what it gives. Must not know the coordinator's side."""
