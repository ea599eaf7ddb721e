"""`evometrics`: its help, and which command is meant.

The commands' modules are loaded when they are called. Imports the commands' names and the exit codes.
"""

__all__ = ["main"]
