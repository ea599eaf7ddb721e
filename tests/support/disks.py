"""Small disks for tests: a file system in memory that is full after a few megabytes, as a real one would be.

To mount one takes rights. Where the tests have none they skip, and say so: `unshare --map-root-user --mount
python -m pytest ...` gives a process of any user such rights, where the system allows it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from evometrics.schemas.service.disk import space_of

CHUNK = 64 * 1024


@contextlib.contextmanager
def mounted(folder: Path, megabytes: float) -> Iterator[Path]:
    """Mount a small file system in memory on a folder. Raises OSError where that may not be done."""
    size = f"size={round(megabytes * 1024)}k"
    with mount(folder, "-t", "tmpfs", "-o", size, "evometrics-test"):
        yield folder


@contextlib.contextmanager
def mounted_image(folder: Path, megabytes: int) -> Iterator[Path]:
    """As `mounted`, but an ext4 in a file, as servers have it; memory where no such file can be mounted."""
    image = folder.with_name(f"{folder.name}.img")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            image.touch()
            os.truncate(image, megabytes * 1024 * 1024)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=True, capture_output=True)
            stack.enter_context(mount(folder, "-o", "loop", str(image)))
        except (OSError, subprocess.CalledProcessError):
            stack.enter_context(mounted(folder, megabytes))
        yield folder


@contextlib.contextmanager
def mount(folder: Path, *what: str) -> Iterator[None]:
    """Mount something on a folder, which is made. Raises OSError where that may not be done."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *what, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PermissionError(done.stderr.strip() or "mount failed")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def cannot_mount(folder: Path) -> str | None:
    """Return why no small disk can be mounted here, None where it can."""
    try:
        with mounted(folder / "tried", 1):
            return None
    except (PermissionError, FileNotFoundError) as error:
        return f"no small disk can be mounted here ({error}); see tests/support/disks.py"


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: float) -> Iterator[Path]:
    """As `mounted`, for a test: it is skipped where no file system can be mounted."""
    if problem := cannot_mount(folder):
        pytest.skip(problem)
    with mounted(folder, megabytes):
        yield folder


def fill(folder: Path, name: str = "filler") -> Path:
    """Take all that is free of a folder's disk; return the file that has it."""
    filler = folder / name
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        size = CHUNK
        while size:
            try:
                os.write(descriptor, bytes(size))
            except OSError:
                size //= 2
    finally:
        os.close(descriptor)
    return filler


def leave(folder: Path, free: int, name: str = "filler") -> Path:
    """Take all of a folder's disk but `free` bytes; return the file that has it."""
    filler = folder / name
    with filler.open("wb") as file:
        for _ in range(max(0, space_of(folder).free - free) // CHUNK):
            file.write(bytes(CHUNK))
    return filler
