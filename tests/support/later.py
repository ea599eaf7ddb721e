"""Modules that are imported when a test first uses them.

Each process that runs tests reads all files of tests, and most run no test of a framework: together those
take some seconds and a few hundred MB to import.
"""

from __future__ import annotations

import importlib
from typing import Any


class Later:
    """A module by its name: as itself, except that it is imported when something of it is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what pytest looks for in everything that a file of tests has
            raise AttributeError(name)
        return getattr(importlib.import_module(self._name), name)
