"""Which migrations are applied next, from this build's files and a database's history."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from evometrics.sinks.migrations.files import Migration
from evometrics.sinks.migrations.plan import MigrationError, MigrationState, Recorded, plan, statuses

THEN = datetime(2026, 5, 4, tzinfo=UTC)
FILES = [Migration(number, f"m{number}", f"SELECT {number};") for number in (1, 2, 3, 4)]


def history(*applied: int, begun: int | None = None) -> dict[int, Recorded]:
    checksums = {migration.number: migration.checksum for migration in FILES}
    found = {n: Recorded(n, f"m{n}", checksums.get(n, "newer"), THEN) for n in applied}
    if begun is not None:
        found[begun] = Recorded(begun, f"m{begun}", "", THEN, begun=True)
    return found


def numbers(recorded: dict[int, Recorded], to: int | None = None) -> list[int]:
    return [migration.number for migration in plan(FILES, recorded, to)]


def test_what_is_not_applied_is_applied_in_order_up_to_a_number() -> None:
    assert numbers({}) == [1, 2, 3, 4]
    assert numbers({}, 3) == [1, 2, 3]
    assert numbers({}, 1) == [1]
    assert numbers(history(1, 2)) == [3, 4]
    assert numbers(history(1, 2), 3) == [3]
    assert numbers(history(1, 2), 2) == []
    assert numbers(history(1, 3)) == [2, 4]
    assert numbers(history(1, 2, 3, 4)) == []


def test_an_interrupted_one_is_applied_again() -> None:
    assert numbers(history(1, begun=2)) == [2, 3, 4]
    assert numbers(history(1, begun=2), 2) == [2]


def test_a_level_that_is_none_or_lies_behind_is_refused_with_the_way_out() -> None:
    with pytest.raises(MigrationError, match=r"--to 9: .*0009.* 1 to 4"):
        numbers({}, 9)
    with pytest.raises(MigrationError, match=r"--to 2: .*0003"):
        numbers(history(1, 2, 3), 2)
    with pytest.raises(MigrationError, match=r"--to 1: .*0002"):
        numbers(history(1, begun=2), 1)


def test_a_database_that_is_ahead_or_has_another_text_is_refused() -> None:
    with pytest.raises(MigrationError, match="0006"):
        numbers(history(1, 2, 3, 4, 5, 6))
    other = {**history(1), 2: Recorded(2, "m2", "another sum", THEN)}
    with pytest.raises(MigrationError, match="0002_m2"):
        numbers(other)


def test_each_migration_has_a_state_and_its_time() -> None:
    recorded = {**history(1, 5, begun=3), 2: Recorded(2, "m2", "another sum", THEN)}
    found = statuses(FILES, recorded)
    assert [(s.number, s.name, s.state, s.since) for s in found] == [
        (1, "m1", MigrationState.APPLIED, THEN),
        (2, "m2", MigrationState.CHANGED, THEN),
        (3, "m3", MigrationState.INTERRUPTED, THEN),
        (4, "m4", MigrationState.PENDING, None),
        (5, "m5", MigrationState.UNKNOWN, THEN),
    ]
    assert statuses(FILES, recorded, running=True)[2].state is MigrationState.RUNNING
