"""Demo agents that really evolve: small scikit-learn models on the digits data set.

Runs as `python -m evometrics.producers.demo`; nothing imports it. Imports the orchestrator and the collector.
"""

__all__: list[str] = []
