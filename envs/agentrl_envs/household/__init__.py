"""The household: ALFWorld's games in a native engine, string by string the same, and endless games of our own."""
