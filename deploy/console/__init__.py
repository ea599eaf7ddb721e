"""Shared by the commands: flags and how they become settings, a run and its end, rows as tables.

Imports the stack, to find the one that runs on a folder, and the settings of all parts.
"""

__all__ = ["flags", "options", "running", "tables"]
