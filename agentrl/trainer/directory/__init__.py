"""A run's directory: what is written there, by whom, and how it is read again."""
