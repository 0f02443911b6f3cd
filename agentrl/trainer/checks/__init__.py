"""What is looked at before a run begins or goes on: its composition, its numbers, and what it resumes."""
