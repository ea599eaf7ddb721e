"""A short form of the fuzz run: a few thousand messages, half of them fuzzed, through the whole stack."""

from __future__ import annotations

from pathlib import Path

from tests.faults.fuzz import NO_LIMIT, PARTITIONS, run
from tests.support.migrated import copied
from tests.support.stack import running_stack

MESSAGES = 3000


def test_good_messages_are_stored_once_bad_ones_are_dead_letters_and_nothing_restarts(
    tmp_path: Path, migrated_folder: Path
) -> None:
    copied(migrated_folder, tmp_path / "data" / "clickhouse")
    with running_stack(tmp_path / "data", PARTITIONS, **NO_LIMIT) as stack:
        result = run(MESSAGES, 3, stack)
    assert {name: lines[:5] for name, lines in result.wrong.items()} == {}
    assert result.good > MESSAGES / 2 and result.bad > MESSAGES / 4
    assert min(result.derived.values()) > 100
