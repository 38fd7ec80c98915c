"""Transactions that come by HTTP, and the answers that checkouts wait for."""
