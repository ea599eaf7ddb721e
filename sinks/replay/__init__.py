"""Derived tables recomputed from recorded events, compared with the live ones, and repaired.

Imports `raw`, and the stream's own computations.
"""
