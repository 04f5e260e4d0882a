"""Builders of registry.json, its schema and the known answers, from the facts in facts/."""
