"""Any program as one evolution: its start, its output, its signals, its end, and what is recorded of it.

The program is started before anything else is loaded, and never waits for the recording; what records it is
loaded beside it, in a thread. Imports the producers, there.
"""

__all__ = ["run"]
