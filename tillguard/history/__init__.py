"""Histories replayed and compared: the live state's own pass over files and topics."""
