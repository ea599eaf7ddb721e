"""The collector: the methods that an orchestrator calls, and everything that follows from each call.

Recording, open evolutions, the last completions, and forked children. Imports every other room of the
producers except those that use it: persistence, the orchestrator and the demo.
"""

__all__ = ["background", "collector", "evolution_run", "forks", "journal"]
