"""Studies of stored runs."""
