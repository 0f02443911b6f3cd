"""Engines: language models that keep many conversations (sessions) across turns."""
