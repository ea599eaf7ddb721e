"""Free space of a folder's disk, how much of it is reserved, and the warning before it runs out."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from evometrics.schemas.metrics import DISK_FREE
from evometrics.schemas.service.settings import require

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

#: A full disk, and a user's or a folder's quota that is used up.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
MB = 1_000_000
#: A warning is logged below this multiple of the reserved space.
WARN_AT = 2.0
#: A disk that was short of space has enough again at this multiple of the reserved space: otherwise each byte
#: that is freed would end one spell and start another.
AGAIN_AT = 4 / 3


@dataclass(frozen=True, slots=True)
class DiskSettings:
    """How much space is kept free on the disks of the local stack: the smaller of the two settings.

    With less than that Kafka is stopped, or not started: a Kafka that starts on a full disk takes its logs
    for damaged and deletes them.

    Attributes:
        keep_free_mb: space to keep free, MB (10^6 bytes).
        keep_free_percent: space to keep free, percent of the disk's size.
    """

    keep_free_mb: float = 500.0
    keep_free_percent: float = 5.0

    def __post_init__(self) -> None:
        require(self.keep_free_mb > 0, "keep_free_mb", self.keep_free_mb, "must be above 0")
        percent = self.keep_free_percent
        require(0 < percent < 100, "keep_free_percent", percent, "must be above 0 and below 100")

    def kept_free(self, total: int) -> float:
        """Return the bytes to keep free on a disk of that size."""
        return min(self.keep_free_mb * MB, total * self.keep_free_percent / 100)


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """The file system of a folder.

    Attributes:
        free: bytes that this user can still write.
        total: its size, bytes.
    """

    free: int
    total: int

    def __str__(self) -> str:
        return f"{self.free / MB:.0f} of {self.total / MB:.0f} MB are free"


def space_of(folder: Path) -> DiskSpace:
    """Return the space where `folder` is, or will be: that of its nearest existing parent. Raises OSError."""
    while True:
        try:
            found = os.statvfs(folder)
        except FileNotFoundError:
            if folder == folder.parent:
                raise
            folder = folder.parent
            continue
        return DiskSpace(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def is_full(error: OSError) -> bool:
    """Return whether an error means that there is no room."""
    return error.errno in FULL


def free_on(folder: Path) -> float:
    """Return the bytes free on a folder's disk."""
    return float(space_of(folder).free)


class LowDisk:
    """Warns that a disk is nearly full, once per spell."""

    def __init__(self, what: str) -> None:
        """`what`: the data on that disk, in words."""
        self.what = what
        self.told = False

    def warning(self, space: DiskSpace, kept_free: float, then: str) -> str | None:
        """Return the warning, with what happens `then` below `kept_free` bytes; None where none is due."""
        low = space.total > 0 and space.free < kept_free * WARN_AT * (AGAIN_AT if self.told else 1)
        begins, self.told = low and not self.told, low
        if not begins:
            return None
        return f"{self.what}: the disk is nearly full ({space}); below {kept_free / MB:.0f} MB {then}"


def show_free(registry: CollectorRegistry, folders: Mapping[str, Path]) -> None:
    """Add to `/metrics` the free space of the disks of those data folders that exist."""
    import prometheus_client as prometheus

    gauge = prometheus.Gauge(DISK_FREE.name, DISK_FREE.help, DISK_FREE.labels, registry=registry)
    for name, folder in folders.items():
        if folder.is_dir():
            gauge.labels(name).set_function(partial(free_on, folder))
