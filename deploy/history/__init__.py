"""Imports history recorded elsewhere or earlier: `evometrics import`."""
