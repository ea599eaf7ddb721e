"""The outbox: events on disk from `record_*` until the broker has them.

One SQLite file per process, its lock, its space, and recovery where it is damaged, moved or full. Imports
`sqlite`, `notices` and the contract.
"""

__all__ = ["dead_outboxes", "file", "latency", "names", "outbox", "rebuilding", "row", "tally"]
