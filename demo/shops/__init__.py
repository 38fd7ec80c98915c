"""Shops and their databases: what they sell, and how a sale looks in MySQL and MongoDB."""
