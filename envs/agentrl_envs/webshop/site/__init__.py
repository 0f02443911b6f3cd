"""The shop as a web site: the same catalogue, pages and reward as the text environment, for people."""
