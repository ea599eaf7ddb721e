"""The disks of the stack's data: which parts may run on them, and a warning before they are full.

Kafka dies on a full disk. Restarted there it takes its own logs for damaged, since it can't write to them,
begins an empty metadata log, and deletes all topics as strays (seen with 4.4, one node). So it is stopped
cleanly while there is still space, which keeps the nodes' events in their outboxes, and started when there is
space again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from evometrics.schemas.service.disk import AGAIN_AT, MB, DiskSettings, LowDisk, space_of

log = logging.getLogger(__name__)

WATCH_SECONDS = 5.0
POLL_SECONDS = 1.0


class Reserve:
    """The free space that the disk of a part's folder must have for the part to run."""

    def __init__(self, folder: Path, settings: DiskSettings) -> None:
        self.folder = folder
        self.settings = settings
        self.lacking = False

    def lacks(self) -> str | None:
        """Return why the part must not run at present; None if it may, or the system does not say."""
        try:
            space = space_of(self.folder)
        except OSError:
            return None
        kept = self.settings.kept_free(space.total)
        needed = kept * AGAIN_AT
        self.lacking = space.free < (needed if self.lacking else kept)
        if not self.lacking:
            return None
        return (
            f"the disk of {self.folder} is too full for it ({space}). Free the disk: it starts by itself "
            f"once {needed / MB:.0f} MB are free"
        )

    async def until_there(self, name: str, tell: Callable[[str], None]) -> None:
        """Wait until there is enough space, reporting the wait."""
        told = False
        while (why := self.lacks()) is not None:
            if not told:
                told = True
                tell(f"{name} is not started: {why}")
            await asyncio.sleep(POLL_SECONDS)


class DiskWatch:
    """Warns before the disks of folders are full, once per disk until it has recovered.

    Args:
        folders: by the name of the part whose data they hold.
        settings: the space to keep free.
        tell: receives the warnings.
    """

    def __init__(
        self, folders: Mapping[str, Path], settings: DiskSettings, tell: Callable[[str], None]
    ) -> None:
        self.folders = folders
        self.settings = settings
        self.tell = tell
        self.low: dict[int, LowDisk] = {}

    async def run(self) -> None:
        """Check forever; an error in one check does not prevent the next."""
        while True:
            try:
                self.look()
            except Exception:
                log.exception("the disks could not be checked")
            await asyncio.sleep(WATCH_SECONDS)

    def look(self) -> None:
        """Check each disk once."""
        disks: dict[int, list[str]] = {}
        for name, folder in self.folders.items():
            if folder.is_dir():
                disks.setdefault(folder.stat().st_dev, []).append(name)
        for device, names in disks.items():
            folder = self.folders[names[0]]
            low = self.low.setdefault(device, LowDisk(f"{', '.join(names)} in {folder.parent}"))
            space = space_of(folder)
            then = "Kafka is stopped until there is space" if "kafka" in names else "writes will fail"
            if warning := low.warning(space, self.settings.kept_free(space.total), then):
                self.tell(warning)
