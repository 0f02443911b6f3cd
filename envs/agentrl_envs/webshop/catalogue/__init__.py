"""The catalogue of our own: endless believable products by seed, and goals that need search, comparison and choice."""
