"""Worlds of tools: a customer-service desk over a database."""
