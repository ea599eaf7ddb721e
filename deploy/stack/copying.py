"""Copies a folder whose files may be in use: SQLite files through SQLite, all others with their holes."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

SQLITE = b"SQLite format 3\0"
#: Suffixes of the files beside a SQLite file: its log, the log's index, and the lock of an outbox.
LOG, INDEX, LOCK = "-wal", "-shm", ".lock"
CHUNK_BYTES = 1024 * 1024
#: The unit of `st_blocks`, whatever the file system's block size.
BLOCK_BYTES = 512


def size_on_disk(folder: Path, left_out: frozenset[str]) -> int:
    """Return the bytes that a folder's files take on disk."""
    total = 0
    for path in files(folder, left_out):
        with contextlib.suppress(FileNotFoundError):
            total += path.lstat().st_blocks * BLOCK_BYTES
    return total


def copy_folder(source: Path, target: Path, left_out: frozenset[str], check: Callable[[], None]) -> None:
    """Copy a folder except some names at its top level.

    `check` is called before each file, and ends the copy by raising. A file that its owner deletes meanwhile
    is left out, as if it had been deleted before.
    """
    for folder in folders(source, left_out):
        (target / folder.relative_to(source)).mkdir(parents=True)
    databases: set[Path] = set()
    for path in files(source, left_out):
        check()
        to = target / path.relative_to(source)
        with contextlib.suppress(FileNotFoundError):
            if database_of(path) in databases:  # by their names they come after it
                if path.name.endswith(LOCK):
                    # it counts the outbox's contents, which have changed meanwhile: an empty one makes no
                    # claim
                    to.touch(mode=0o600)
            elif is_database(path) and copy_database(path, to):
                databases.add(path)
            else:
                copy_file(path, to)


def files(folder: Path, left_out: frozenset[str]) -> Iterator[Path]:
    """Yield everything in and below a folder except folders, each folder's in order of their names."""
    for parent in folders(folder, left_out):
        with os.scandir(parent) as entries:
            names = sorted(entry.name for entry in entries if not entry.is_dir(follow_symlinks=False))
        yield from (parent / name for name in names if parent != folder or name not in left_out)


def folders(folder: Path, left_out: frozenset[str]) -> Iterator[Path]:
    """Yield a folder and those below it."""
    for parent, names, _ in os.walk(folder):
        if Path(parent) == folder:
            names[:] = [name for name in names if name not in left_out]
        yield Path(parent)


def database_of(path: Path) -> Path | None:
    """Return the SQLite file that a file belongs to, None if its name does not match."""
    for ending in (LOG, INDEX, LOCK):
        if path.name.endswith(ending) and path.name != ending:
            return path.with_name(path.name.removesuffix(ending))
    return None


def is_database(path: Path) -> bool:
    """Return whether a file is a SQLite database."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return False
    with path.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE


def copy_database(source: Path, target: Path) -> bool:
    """Copy a database as of one moment, whoever writes to it; return False if SQLite can't read it."""
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as one,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            one.backup(copy)
    except sqlite3.Error:
        target.unlink(missing_ok=True)
        return False
    shutil.copystat(source, target)
    return True


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, or a link as a link; anything else, such as a socket, is left out."""
    kind = source.lstat().st_mode
    if stat.S_ISLNK(kind):
        target.symlink_to(source.readlink())
    elif stat.S_ISREG(kind):
        copy_bytes(source, target)
        shutil.copystat(source, target)


def private(path: str, flags: int) -> int:
    """Open a file that nobody else may read, whatever it may be once it has its source's mode."""
    return os.open(path, flags, 0o600)


def copy_bytes(source: Path, target: Path) -> None:
    """Copy a file's contents; its holes stay holes in the copy."""
    with source.open("rb", buffering=0) as file, open(target, "xb", buffering=0, opener=private) as copy:
        number, size, at = file.fileno(), os.fstat(file.fileno()).st_size, 0
        while at < size:
            try:
                at = os.lseek(number, at, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                break  # a hole up to the end
            end = min(size, os.lseek(number, at, os.SEEK_HOLE))
            copy.seek(at)
            while at < end and (part := os.pread(number, min(CHUNK_BYTES, end - at), at)):
                at += copy.write(part)
            if at < end:  # it was truncated meanwhile
                break
        copy.truncate(size)
