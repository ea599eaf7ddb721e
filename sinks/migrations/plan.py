"""The migrations to apply, and each one's state: from this build's files and a database's history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from evometrics.schemas.errors import EvometricsError
from evometrics.sinks.migrations.files import Migration


class MigrationError(EvometricsError, RuntimeError):
    """A migration can't be applied; the message names it and a way out."""


class MigrationState(StrEnum):
    """A migration's state in a database."""

    APPLIED = "applied"
    PENDING = "pending"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    CHANGED = "changed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A row of the history.

    Attributes:
        number: the migration's number.
        name: its name.
        checksum: that of its text when it was applied; empty if it was only begun.
        at: when it was applied, or begun.
        begun: whether it was begun and not applied.
    """

    number: int
    name: str
    checksum: str
    at: datetime
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """One migration, known to this build or to the database.

    Attributes:
        number: its number.
        name: its name.
        state: its state.
        since: when it was applied, or begun; None while it is pending.
    """

    number: int
    name: str
    state: MigrationState
    since: datetime | None


def statuses(
    known: Sequence[Migration], recorded: Mapping[int, Recorded], *, running: bool = False
) -> list[Status]:
    """Return each migration's state, by number; `running`: whether a run is in progress."""
    files = {migration.number: migration for migration in known}
    found = []
    for number in sorted(files.keys() | recorded.keys()):
        file, row = files.get(number), recorded.get(number)
        name = file.name if file else recorded[number].name
        found.append(Status(number, name, state_of(file, row, running), row.at if row else None))
    return found


def state_of(file: Migration | None, row: Recorded | None, running: bool) -> MigrationState:
    """Return a migration's state, from this build's file and the database's row."""
    if row is None:
        return MigrationState.PENDING
    if file is None:
        return MigrationState.UNKNOWN
    if row.begun:
        return MigrationState.RUNNING if running else MigrationState.INTERRUPTED
    return MigrationState.APPLIED if row.checksum == file.checksum else MigrationState.CHANGED


def plan(
    known: Sequence[Migration], recorded: Mapping[int, Recorded], to: int | None = None
) -> list[Migration]:
    """Return the migrations to apply, in order, up to number `to`; an interrupted one is applied again.

    Raises `MigrationError` if an applied file has another text now, if the database is ahead, and if `to` is
    not a migration or lies below one that is applied or begun.
    """
    found = statuses(known, recorded)
    for status in found:
        if status.state is MigrationState.CHANGED:
            raise MigrationError(
                f"migration {status.number:04d}_{status.name} was applied with different text: restore the "
                "file and make the change in a new one"
            )
    ahead = [status.number for status in found if status.state is MigrationState.UNKNOWN]
    if ahead:
        raise MigrationError(
            f"the database has migration {ahead[-1]:04d}, newer than this evometrics: upgrade"
        )
    if to is not None:
        check_target(to, [migration.number for migration in known], max(recorded, default=0))
    left = {status.number for status in found if status.state is not MigrationState.APPLIED}
    return [m for m in known if m.number in left and (to is None or m.number <= to)]


def check_target(to: int, numbers: Sequence[int], reached: int) -> None:
    """Raise `MigrationError` if `to` can't be reached from the highest number applied or begun."""
    if to not in numbers:
        raise MigrationError(
            f"--to {to}: there is no migration {to:04d}; they range from {min(numbers)} to {max(numbers)}"
        )
    if to < reached:
        raise MigrationError(
            f"--to {to}: the database already has migration {reached:04d}, and migrations can't be undone; "
            f"for an older level, restore a copy made at it, or migrate an empty database with --to {to}"
        )
