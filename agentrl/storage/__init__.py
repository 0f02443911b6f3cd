"""What is written to disk and believed again: atomic files, checksums, and checks of policies and records."""
