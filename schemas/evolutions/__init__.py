"""What an evolution's events mean together: pure functions of them.

A completion joined with its start, the outcome that both make, and the snapshots that an evolution's KPIs
are. Imports the event classes and the KPIs' formulas.
"""
