"""Derived rows as message values, fast.

Imports the formulas, the states and the contract.
"""

__all__ = ["joining", "metrics", "rates", "rows"]
