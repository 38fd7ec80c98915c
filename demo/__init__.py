"""The demonstration: two retailers, their databases, live transactions, and an account of every one of them."""
