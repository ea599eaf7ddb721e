"""Derived tables computed again from what was recorded, compared, and put right.

Imports `raw`, and the stream's own computations.
"""
