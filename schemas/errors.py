"""What all errors of ours have in common."""

from __future__ import annotations


class EvometricsError(Exception):
    """What a person can put right: its message names what is wrong and the way out.

    The command line prints it in one line. Whatever else is raised is a fault of the program, and keeps its
    traceback.
    """
