"""The stream worker: batches from Faust, results to Kafka, states written before offsets are committed.

The only room that imports Faust. Imports the processors and the changelog.
"""

__all__ = ["worker"]
