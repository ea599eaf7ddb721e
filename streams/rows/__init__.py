"""Derived rows as message values, fast.

Imports the formulas, the states and the contract.
"""

__all__ = ["deltas", "joining", "metrics", "rates", "rows"]
