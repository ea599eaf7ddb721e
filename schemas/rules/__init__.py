"""What makes an event valid: each rule by name, and a quick check for the usual case.

Imports the event classes.
"""

__all__ = ["screening", "validation"]
