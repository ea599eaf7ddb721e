"""SQLite files as they lie about: read-only folders, other types of ids, copies that have lost their mark."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from evometrics.deploy.history import sqlite_file
from evometrics.deploy.history.run import opened
from evometrics.producers import SQLiteMetricsBackend
from evometrics.schemas.events import EvolutionCompleted
from evometrics.schemas.service.settings import SettingsError
from evometrics.schemas.wire.framing import WireFormat
from tests.deploy.history.test_report import open_folder, read_only  # noqa: F401 - a fixture
from tests.support.history_imports import staged
from tests.support.influxdb import completion

AT = 1_750_000_000


def made(path: Path, *statements: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        db.execute(statement)
    return db


WAL = (
    "PRAGMA journal_mode = WAL",
    "CREATE TABLE evolution_metrics (agent_id, timestamp, success)",
    f"INSERT INTO evolution_metrics VALUES ('a', {AT}, 1)",
)


def test_a_file_in_wal_mode_is_read_in_a_folder_that_can_not_be_written_to(open_folder: Path) -> None:  # noqa: F811
    path = open_folder / "history.db"
    made(path, *WAL).close()
    path.chmod(0o644)
    assert [each.name for each in open_folder.iterdir()] == [path.name]
    with read_only(open_folder):
        sqlite_file.open_database(path).close()
        (row,) = opened(path, None).rows()
    assert row.cells["agent_id"] == "a"


def test_there_with_more_of_it_in_its_wal_it_is_to_be_copied(open_folder: Path) -> None:  # noqa: F811
    path = open_folder / "history.db"
    db = made(path, *WAL)
    copy = open_folder / "copy.db"
    shutil.copy(path, copy)
    shutil.copy(f"{path}-wal", f"{copy}-wal")
    db.close()
    for each in open_folder.iterdir():
        each.chmod(0o644)
    with read_only(open_folder), pytest.raises(SettingsError, match=r"WAL mode.*copy it, with copy\.db-wal"):
        opened(copy, None)
    (row,) = opened(copy, None).rows()
    assert row.cells["agent_id"] == "a"


def test_a_file_that_came_without_its_wal_is_told_from_an_empty_one(tmp_path: Path) -> None:
    db = made(tmp_path / "night.db", *WAL)
    shutil.copy(tmp_path / "night.db", tmp_path / "copy.db")
    db.close()
    with pytest.raises(SettingsError, match=r"it has none, but is in WAL mode: copy\.db-wal.*belongs beside"):
        opened(tmp_path / "copy.db", None)


def test_a_file_that_is_cut_is_refused_with_what_brings_back_its_rows(tmp_path: Path) -> None:
    made(tmp_path / "whole.db", "PRAGMA journal_mode = delete", *WAL[1:], "CREATE TABLE more (x)").close()
    content = (tmp_path / "whole.db").read_bytes()
    (tmp_path / "cut.db").write_bytes(content[: len(content) // 2])
    with pytest.raises(SettingsError, match=r"malformed; `sqlite3 cut\.db \.recover`"):
        opened(tmp_path / "cut.db", None)


@pytest.mark.parametrize(
    "types", [("INTEGER", "TEXT"), ("TEXT", "INTEGER"), ("REAL", "INTEGER"), ("", "REAL")]
)
def test_strategies_find_their_evolution_whatever_the_type_of_the_ids(
    types: tuple[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "history.db"
    made(
        path,
        f"CREATE TABLE evolution_metrics (agent_id, timestamp, evolution_id {types[0]}, success)",
        f"INSERT INTO evolution_metrics VALUES ('a', {AT}, 5, 1)",
        f"CREATE TABLE evolution_strategies (evolution_id {types[1]}, strategy_name, risk_level)",
        "INSERT INTO evolution_strategies VALUES (5, 'tune', 'low')",
    ).close()
    (item,) = staged(path)
    event = WireFormat().decode(item.value)
    assert isinstance(event, EvolutionCompleted) and item.strategy
    assert (event.evolution_id, event.strategy_used, event.risk_level) == ("5", "tune", "low")


def test_an_empty_text_of_the_evolution_leaves_its_strategys_word(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    made(
        path,
        "CREATE TABLE evolution_metrics (agent_id, timestamp, evolution_id, success, risk_level)",
        f"INSERT INTO evolution_metrics VALUES ('a', {AT}, 'e', 1, '')",
        "CREATE TABLE evolution_strategies (evolution_id, strategy_name, risk_level)",
        "INSERT INTO evolution_strategies VALUES ('e', 'tune', 'high')",
    ).close()
    (item,) = staged(path)
    event: Any = WireFormat().decode(item.value)
    assert event.risk_level == "high"


def test_a_copy_of_a_nodes_history_that_has_lost_its_mark_is_one_still(tmp_path: Path) -> None:
    path, copy = tmp_path / "h.db", tmp_path / "copy.db"
    backend = SQLiteMetricsBackend(path)
    backend.store([completion(number) for number in range(3)])
    backend.close()
    source, target = sqlite3.connect(path), sqlite3.connect(copy)
    target.executescript("\n".join(line for line in source.iterdump() if "sqlite_sequence" not in line))
    target.close()
    source.close()
    assert {item.event_id: item.value for item in staged(copy)} == {
        item.event_id: item.value for item in staged(path)
    }
    assert len(staged(copy)) == 3


def test_a_history_of_topics_that_are_not_known_gives_the_others(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    backend = SQLiteMetricsBackend(path)
    backend.store([completion(number) for number in range(3)])
    assert backend.db is not None
    backend.db.execute("UPDATE events SET topic = 'of.a.later.release' WHERE rowid = 2")
    backend.close()
    assert len(staged(path)) == 2
