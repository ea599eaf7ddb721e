"""What is to be applied, and how each migration stands: from this build's files and a database's history."""

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
    """How a migration stands in a database."""

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
        checksum: that of its text when it was applied; empty where it was only begun.
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
        state: how it stands.
        since: when it was applied, or begun; None while it is pending.
    """

    number: int
    name: str
    state: MigrationState
    since: datetime | None


def statuses(
    known: Sequence[Migration], recorded: Mapping[int, Recorded], *, running: bool = False
) -> list[Status]:
    """Return how each migration stands, by number; `running` tells whether a run is under way."""
    files = {migration.number: migration for migration in known}
    found = []
    for number in sorted(files.keys() | recorded.keys()):
        file, row = files.get(number), recorded.get(number)
        name = file.name if file else recorded[number].name
        found.append(Status(number, name, state_of(file, row, running), row.at if row else None))
    return found


def state_of(file: Migration | None, row: Recorded | None, running: bool) -> MigrationState:
    """Return how a migration stands, from the file that this build has and the row that the database has."""
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
    """Return what is to be applied, in order, up to number `to`; an interrupted one is applied again.

    Raises `MigrationError` where an applied file has another text now, where the database is ahead, and
    where `to` is no migration or lies below one that is applied or begun.
    """
    found = statuses(known, recorded)
    for status in found:
        if status.state is MigrationState.CHANGED:
            raise MigrationError(
                f"migration {status.number:04d}_{status.name} was applied with another text: put the "
                "file back as it was and make the change in a new file"
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
    """Raise `MigrationError` where one can't go to a number from the highest one applied or begun."""
    if to not in numbers:
        raise MigrationError(
            f"--to {to}: there is no migration {to:04d}, they go from {min(numbers)} to {max(numbers)}"
        )
    if to < reached:
        raise MigrationError(
            f"--to {to}: the database has migration {reached:04d} already, and there is no going back; "
            f"to have an older level, restore a copy made at it, or migrate an empty database with --to {to}"
        )
