"""A node's own history beside its outbox: the specification's SQLite backend.

It is run as an exporter is. Imports the exporters, the outbox and the publisher's backlog.
"""

__all__ = ["copied_backlog", "publisher", "store"]
