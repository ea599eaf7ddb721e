"""A node's own history beside its outbox: the specification's SQLite backend.

Imports the outbox and the publisher's backlog.
"""
