"""Audit questions and their answers, read from the index (docs/index.md)."""
