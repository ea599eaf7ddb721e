"""The outbox: events on disk from `record_*` until the broker has them.

One SQLite file for each process, its lock, its space, and what is done where it is damaged, moved or full.
Imports `sqlite` and the contract.
"""
