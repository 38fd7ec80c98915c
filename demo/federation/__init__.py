"""The third act: retailers that learn one model together, and a member that lies."""
