"""The base class of all errors of this package."""

from __future__ import annotations


class EvometricsError(Exception):
    """An error that a person can correct: its message names what is wrong and the way out.

    The command line prints it on one line. Any other exception is a fault of the program, and keeps its
    traceback.
    """
