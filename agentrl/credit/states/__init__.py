"""Credit that compares turns taken in the same state, in a similar one, or along the graph of states."""
