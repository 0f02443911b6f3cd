"""Looking at a run: one static HTML page, and pictures of a group's forest."""
