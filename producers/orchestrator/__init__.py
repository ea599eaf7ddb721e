"""The reference orchestrator: which agent is evolved when and how, and with what result.

Imports the collector.
"""

__all__ = ["agent", "evolution", "orchestrator", "report", "strategies"]
