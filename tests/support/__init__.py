"""What tests of several parts share. Import as `from support.tiny_model import ...`."""
