"""Connector files and what each entry may say. Knows no database and opens none."""
