"""From packed rows of tokens to hidden states: the passes, their attention, and what they merge."""
