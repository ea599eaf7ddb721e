"""Imports every module of evometrics from its Python source, compiled or not.

Python imports this at its start where this folder stands in PYTHONPATH, so children of a process do the same.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType


class SourcesFirst:
    """Finds a module's source where an extension of the same name stands beside it."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where the source is; None where there is none, and for what is not ours."""
        if not name.startswith("evometrics."):
            return None
        for folder in path or ():
            source = Path(folder, f"{name.rpartition('.')[2]}.py")
            if source.exists():
                return spec_from_file_location(name, source, loader=SourceFileLoader(name, str(source)))
        return None


sys.meta_path.insert(0, SourcesFirst)
