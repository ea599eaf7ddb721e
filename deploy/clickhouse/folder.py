"""One process per chDB folder, checked before the engine is asked."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from evometrics.deploy.process.service import EvometricsError


class FolderInUseError(EvometricsError, RuntimeError):
    """Another process has the folder open."""


def lock_folder(folder: Path) -> int:
    """Take the folder for this process, until the returned descriptor is closed or the process ends.

    chDB has a lock too, but its error does not say what is wrong. Raises `FolderInUseError`.
    """
    path = folder.resolve().with_name(folder.resolve().name + ".lock")
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise FolderInUseError(
            f"{folder.resolve()} is open in another process (id {holder}): only one process at a time may "
            "open a chDB folder. Stop that process, or give another folder."
        ) from None
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock
