"""What an operator asks for: forgetting, dead letters, resolving, training, first connector files."""
