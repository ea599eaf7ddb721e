"""Small files that other tools have written, and the programs that made them.

Each program says in its docstring which version of its tool made the file, and how to make it again.
"""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

HERE = Path(__file__).parent


def tool_file(name: str, folder: Path) -> Path:
    """Return a copy of a file in a folder; databases are kept compressed."""
    copy, packed = folder / name, HERE / f"{name}.gz"
    if packed.exists():
        copy.write_bytes(gzip.decompress(packed.read_bytes()))
    else:
        shutil.copy(HERE / name, copy)
    return copy
