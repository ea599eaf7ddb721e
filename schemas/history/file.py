"""A node's own history on disk: what the SQLite file holds, and how it is told from other files.

It has the specification's four tables, with the specification's columns first and in its order, and `events`:
every event as it was recorded, so that an import restores exactly what a broker would have received. A row of
the four tables has the id of its event; no event is in a table twice.

A file is ours if its header says so (`application_id`). Any other file stays untouched, byte for byte:
reading the header opens no database, and so creates no journal beside a user's file.
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from pathlib import Path

from evometrics.schemas.errors import EvometricsError

#: "EvoH", at byte 68 of the file (https://www.sqlite.org/fileformat.html, "The Database Header").
APPLICATION_ID = 0x45766F48
VERSION = 1
MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100
#: Positions of `user_version` and `application_id` in the header.
USER_VERSION_AT, APPLICATION_ID_AT = 60, 68
BUSY_SECONDS = 2.0
#: The columns of `evolution_metrics` that hold JSON.
JSON_COLUMNS = ("metadata", "kpi_deltas", "fitness_trajectory", "unmeasured", "parent_agent_ids")
#: Columns that a file of an earlier build lacks. It gets them when it is opened to write, at the end of the
#: table; that build can still write and read it.
ADDED = {
    "evolution_metrics": {
        "parent_agent_ids": "TEXT DEFAULT '[]'",
        "cost_usd": "REAL",
        "tokens_in": "INTEGER",
        "tokens_out": "INTEGER",
        "evaluations": "INTEGER",
        "model": "TEXT",
        "run_id": "TEXT",
        "objective": "TEXT",
        "direction": "TEXT",
        "candidate_hash": "TEXT",
    },
    "kpi_snapshots": {"objective": "TEXT", "direction": "TEXT"},
}

#: The specification's foreign key of `evolution_strategies` names a column that is not unique, which SQLite
#: refuses at the first insert with foreign keys enabled; the row's event id is unique.
SCHEMA = """
CREATE TABLE IF NOT EXISTS evolution_metrics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    timestamp REAL NOT NULL,
    agent_id TEXT NOT NULL,
    evolution_type TEXT NOT NULL,
    evolution_id TEXT NOT NULL,
    performance_score REAL,
    improvement_delta REAL,
    quality_score REAL,
    memory_used_mb INTEGER,
    cpu_percent_avg REAL,
    duration_minutes REAL,
    success BOOLEAN,
    error_count INTEGER,
    warning_count INTEGER,
    metadata TEXT,
    event_id TEXT NOT NULL UNIQUE,
    source_event_id TEXT NOT NULL UNIQUE,
    node_id TEXT NOT NULL,
    started_at REAL NOT NULL,
    generation INTEGER,
    strategy_used TEXT,
    risk_level TEXT,
    target_gain REAL,
    trigger_reason TEXT,
    status TEXT NOT NULL,
    baseline_performance REAL,
    relative_improvement REAL,
    efficiency REAL,
    kpi_deltas TEXT,
    gpu_memory_mb REAL,
    network_bytes_transferred INTEGER,
    rollback_performed BOOLEAN,
    convergence_iterations INTEGER,
    fitness_trajectory TEXT,
    unmeasured TEXT,
    version INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_agent_timestamp ON evolution_metrics (agent_id, timestamp);
CREATE INDEX IF NOT EXISTS idx_evolution_id ON evolution_metrics (evolution_id);
CREATE INDEX IF NOT EXISTS idx_success ON evolution_metrics (success);
CREATE INDEX IF NOT EXISTS idx_timestamp ON evolution_metrics (timestamp);
CREATE TABLE IF NOT EXISTS kpi_snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    timestamp REAL NOT NULL,
    agent_id TEXT NOT NULL,
    accuracy REAL,
    response_time_ms REAL,
    throughput_tps REAL,
    success_rate REAL,
    memory_usage_mb REAL,
    cpu_utilization REAL,
    energy_efficiency REAL,
    adaptation_rate REAL,
    knowledge_retention REAL,
    generalization_ability REAL,
    output_quality REAL,
    consistency REAL,
    reliability REAL,
    overall_performance REAL,
    evaluation_count INTEGER,
    confidence_interval REAL,
    event_id TEXT NOT NULL UNIQUE,
    node_id TEXT NOT NULL,
    evolution_id TEXT,
    phase TEXT,
    security_score REAL,
    bias_score REAL,
    interpretability REAL,
    extra TEXT,
    metadata TEXT,
    source_event_id TEXT
);
CREATE INDEX IF NOT EXISTS idx_agent_time ON kpi_snapshots (agent_id, timestamp);
CREATE INDEX IF NOT EXISTS idx_snapshot_source ON kpi_snapshots (source_event_id)
    WHERE source_event_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS evolution_strategies (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    evolution_id TEXT NOT NULL,
    strategy_name TEXT NOT NULL,
    risk_level TEXT,
    target_gain REAL,
    actual_gain REAL,
    success BOOLEAN,
    applied_at REAL,
    event_id TEXT NOT NULL UNIQUE REFERENCES evolution_metrics (event_id) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS idx_strategy_evolution ON evolution_strategies (evolution_id);
CREATE TABLE IF NOT EXISTS system_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    timestamp REAL NOT NULL,
    event_type TEXT NOT NULL,
    data TEXT,
    event_id TEXT NOT NULL UNIQUE,
    agent_id TEXT,
    node_id TEXT
);
CREATE INDEX IF NOT EXISTS idx_event_time ON system_events (timestamp);
CREATE TABLE IF NOT EXISTS events (
    event_id TEXT PRIMARY KEY,
    topic TEXT NOT NULL,
    key TEXT NOT NULL,
    evolution_id TEXT,
    recorded_at REAL NOT NULL,
    value BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_recorded_at ON events (recorded_at);
CREATE INDEX IF NOT EXISTS idx_evolution ON events (evolution_id) WHERE evolution_id IS NOT NULL;
"""


class HistoryError(EvometricsError, OSError):
    """The history can't be written or read; the message names the file and the way out."""


def check_file(path: Path) -> bool:
    """Return whether there is a history of ours; False where there is no file (or an empty one).

    Raises `HistoryError` where something else has the name; it is not opened as a database.
    """
    try:
        if path.is_dir():
            raise HistoryError(f"{path} is a folder; name a file for the history (history_db)")
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except FileNotFoundError:
        return False
    except HistoryError:
        raise
    except OSError as error:
        raise HistoryError(f"{path}: can't be read: {error.strerror or error}") from error
    if not header:
        return False
    if not header.startswith(MAGIC):
        raise HistoryError(
            f"{path} is not a SQLite file; it is left untouched. Name another file for the history "
            "(history_db)"
        )
    if not is_history(header):
        raise HistoryError(
            f"{path} is another application's database; it is left untouched. Name another file for the "
            "history (history_db), or move this one elsewhere; `evometrics import` can import what is in it"
        )
    check_version(path, number_at(header, USER_VERSION_AT))
    return True


def check_free(path: Path) -> None:
    """Raise `HistoryError` where a path has no database, but files of one beside it.

    SQLite takes them for its own and deletes them; they may be all that is left of somebody's database.
    """
    if path.exists():
        return
    for suffix in ("-journal", "-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            raise HistoryError(
                f"{beside} belongs to a database that does not exist; it is left untouched: move it "
                "elsewhere, or name another file (history_db)"
            )


def check_version(path: Path, version: int) -> None:
    """Raise `HistoryError` where a history is of a newer build than this one."""
    if version > VERSION:
        raise HistoryError(
            f"{path} is a history of version {version}, this build knows {VERSION}: upgrade evometrics, or "
            "name another file (history_db)"
        )


def is_history(header: bytes) -> bool:
    """Return whether a file's first bytes are those of one of our histories."""
    whole = header.startswith(MAGIC) and len(header) >= HEADER_BYTES
    return whole and number_at(header, APPLICATION_ID_AT) == APPLICATION_ID


def number_at(header: bytes, place: int) -> int:
    """Return one of the header's numbers (4 bytes, big-endian)."""
    return int(struct.unpack_from(">I", header, place)[0])


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open a history, creating it where there is none; several processes may. Raises `HistoryError`.

    It is created in one transaction: an existing file is complete, or empty.
    """
    if not check_file(path):
        check_free(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            # A commit survives a power loss: the outbox deletes what the history has.
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            (found,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            (owner,) = db.execute("PRAGMA application_id").fetchone()
            (version,) = db.execute("PRAGMA user_version").fetchone()
            # Recent changes may be in the journal beside the file, not yet in its header.
            if found and owner != APPLICATION_ID:
                raise HistoryError(f"{path} is another application's database; it is left untouched")
            check_version(path, version)
            for statement in SCHEMA.split(";"):
                db.execute(statement)
            for table, columns in ADDED.items():
                there = columns_of(db, table)
                for name, kind in columns.items():
                    if name not in there:
                        db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {VERSION}")
            db.execute("COMMIT")
            with contextlib.suppress(
                sqlite3.OperationalError
            ):  # another process uses it; a later start sets it
                db.execute("PRAGMA journal_mode = WAL")
        except BaseException:
            db.close()
            raise
    except HistoryError:
        raise
    except (OSError, sqlite3.Error) as error:
        raise HistoryError(f"{path}: {error}; give a path that can be written (history_db)") from error
    return db


def columns_of(db: sqlite3.Connection, table: str) -> set[str]:
    """Return the names of a table's columns."""
    return {name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (table,))}


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open an existing history, for reading only. Raises `HistoryError`."""
    if not check_file(path):
        raise HistoryError(f"{path}: there is no history yet; a collector creates it on its first start")
    try:
        return sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise HistoryError(f"{path}: {error}") from error
