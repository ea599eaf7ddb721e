"""Bringing in the history that existed before: `evometrics import`."""
