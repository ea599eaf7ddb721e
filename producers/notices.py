"""Messages that are logged once, or once a minute, although their cause is met repeatedly."""

from __future__ import annotations

import logging
import time
from pathlib import Path

logger = logging.getLogger(__name__)

REMIND_EVERY = 60.0
#: By path, inode and message: another file that later has the same name is told again.
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


class Reminders:
    """Logs each thing when it first happens, then once a minute as long as it lasts."""

    def __init__(self, log: logging.Logger) -> None:
        self.log = log
        self.said: dict[str, float] = {}

    def say(self, about: str, words: str, *arguments: object, level: int = logging.WARNING) -> None:
        """Log a message about one thing, unless that was done within the last minute."""
        now = time.monotonic()
        if about not in self.said or now - self.said[about] > REMIND_EVERY:
            self.said[about] = now
            self.log.log(level, words, *arguments)

    def over(self, about: str) -> None:
        """Note that a thing has ended: if it happens again it is logged at once."""
        self.said.pop(about, None)
