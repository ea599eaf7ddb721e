"""What an evolution's events mean together: pure functions of them.

A completion joined with its start, the outcome computed from both, and the snapshots made from an evolution's
KPIs. Imports the event classes, the rules and the KPIs' formulas.
"""

__all__ = ["joining", "outcome", "snapshots"]
