"""Where keys and values of sessions lie, and what of them is shared."""
