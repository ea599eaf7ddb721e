"""What is said of a file once in a process, though it is looked at again and again."""

from __future__ import annotations

import logging
from pathlib import Path

logger = logging.getLogger(__name__)

#: A file under a name is told from another that takes the name later.
TOLD: set[tuple[str, int, str]] = set()


def tell_once(path: Path, message: str, level: int = logging.WARNING) -> None:
    """Log a message about a file, the first time in this process."""
    try:
        number = path.lstat().st_ino
    except OSError:
        number = 0
    told = str(path), number, message
    if told not in TOLD:
        TOLD.add(told)
        logger.log(level, "%s: %s", path, message)
