"""What an evolution's events mean together: pure functions of them.

A completion joined with its start, the outcome computed from both, and the snapshots that an evolution's KPIs
give. Imports the event classes and the KPIs' formulas.
"""
