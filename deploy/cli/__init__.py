"""`evometrics`: its help, and which command is meant.

The commands' modules are loaded when they are called.
"""
