"""Whether an outbox's disk has room for new events, and what was lost while it had none."""

from __future__ import annotations

import logging
from pathlib import Path

from evometrics.producers.outbox.file import kept_free
from evometrics.schemas.service.disk import AGAIN_AT, LowDisk, space_of

logger = logging.getLogger(__name__)


class Room:
    """The disk space for one outbox. A spell is a time in which the disk has no room.

    Attributes:
        lacking: whether a spell has begun and not ended.
        lost: events that could not be kept during it.
    """

    def __init__(self, db_path: Path) -> None:
        self.db_path = db_path
        self.folder = db_path.parent
        self.lacking = False
        self.lost = 0
        self.low = LowDisk(f"outbox {db_path}")

    def free(self) -> int | None:
        """Return the bytes free on the disk, None where the system does not say."""
        try:
            return space_of(self.folder).free
        except OSError:
            return None

    def there(self) -> bool:
        """Return whether new events may be accepted; the space for deleting sent ones is reserved."""
        try:
            space = space_of(self.folder)
        except OSError:
            return True  # the write itself will fail with the reason
        if space.total == 0:
            return True  # a file system that does not report its free space
        kept = kept_free(space.total)
        if space.free >= kept and (warning := self.low.warning(space, kept, "nothing new is recorded")):
            logger.warning(warning)
        return space.free >= kept * (AGAIN_AT if self.lacking else 1)

    def refused(self, events: int) -> None:
        """Count events that are not kept; log it when a spell begins."""
        self.lost += events
        if not self.lacking:
            self.lacking = True
            space = space_of(self.folder)
            logger.error(
                "outbox %s: its disk is full (%s; %.0f MB are reserved for emptying it). Events already in "
                "it are sent, new ones are lost until there is space. Free the disk, or move db_path",
                self.db_path,
                space,
                kept_free(space.total) / 1e6,
            )

    def found(self) -> None:
        """End a spell, as events are kept again; log what it cost."""
        if self.lacking:
            logger.warning(
                "outbox %s: its disk has space again; %d events were not recorded meanwhile",
                self.db_path,
                self.lost,
            )
            self.lacking, self.lost = False, 0
