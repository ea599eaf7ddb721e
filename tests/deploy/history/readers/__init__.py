"""Imports of what other tools have written."""
