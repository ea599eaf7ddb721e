"""Makes SQLite files of the specification's shape, some of whose rows are broken; also by hand:

python -m tests.support.history_files FILE ROWS
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: The specification's tables, with its indices as SQLite has them.
SCHEMA = """
CREATE TABLE evolution_metrics (
    id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp REAL NOT NULL, agent_id TEXT NOT NULL,
    evolution_type TEXT NOT NULL, evolution_id TEXT NOT NULL, performance_score REAL, improvement_delta REAL,
    quality_score REAL, memory_used_mb INTEGER, cpu_percent_avg REAL, duration_minutes REAL, success BOOLEAN,
    error_count INTEGER, warning_count INTEGER, metadata TEXT
);
CREATE INDEX idx_agent_timestamp ON evolution_metrics (agent_id, timestamp);
CREATE INDEX idx_evolution_id ON evolution_metrics (evolution_id);
CREATE TABLE kpi_snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp REAL NOT NULL, agent_id TEXT NOT NULL, accuracy REAL,
    response_time_ms REAL, throughput_tps REAL, success_rate REAL, memory_usage_mb REAL, cpu_utilization REAL,
    energy_efficiency REAL, adaptation_rate REAL, knowledge_retention REAL, generalization_ability REAL,
    output_quality REAL, consistency REAL, reliability REAL, overall_performance REAL,
    evaluation_count INTEGER, confidence_interval REAL
);
CREATE TABLE evolution_strategies (
    id INTEGER PRIMARY KEY AUTOINCREMENT, evolution_id TEXT NOT NULL, strategy_name TEXT NOT NULL,
    risk_level TEXT, target_gain REAL, actual_gain REAL, success BOOLEAN, applied_at REAL,
    FOREIGN KEY (evolution_id) REFERENCES evolution_metrics(evolution_id)
);
CREATE TABLE system_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp REAL NOT NULL, event_type TEXT NOT NULL, data TEXT
);
"""
EPOCH = 1_750_000_000.25
#: Event time that a file covers: less than how late the stream takes an event.
SPAN_SECONDS = 40_000.0
AGENTS = 40
#: What breaks every so many rows: a column and what is in it.
BROKEN_EVOLUTIONS: tuple[tuple[str, Any], ...] = (
    ("timestamp", "yesterday"),
    ("agent_id", ""),
    ("success", None),
    ("metadata", "{not json"),
    ("performance_score", "high"),
    ("duration_minutes", -3.0),
    ("timestamp", 9e12),
    ("error_count", -1),
    ("agent_id", b"\xff\xfe"),
)
BROKEN_SNAPSHOTS: tuple[tuple[str, Any], ...] = (("accuracy", "n/a"), ("agent_id", ""), ("timestamp", -5.0))
BROKEN_EVENTS: tuple[tuple[str, Any], ...] = (("data", "not json"), ("event_type", ""), ("timestamp", "?"))
EVERY = 40


@dataclass
class Made:
    """How many rows of each table a file has, and how many of them an import must reject."""

    read: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)

    def taken(self, table: str) -> int:
        return self.read[table] - self.rejected[table]


def spoil(number: int, row: dict[str, Any], ways: tuple[tuple[str, Any], ...]) -> bool:
    """Break a row if it is its turn; tell whether it was."""
    if number % EVERY:
        return False
    column, value = ways[number // EVERY % len(ways)]
    row[column] = value
    return True


def evolution(seed: int, number: int, at: float, chance: random.Random) -> dict[str, Any]:
    score = round(chance.uniform(0.3, 0.9), 4)
    return {
        "timestamp": at,
        "agent_id": f"agent-{seed}-{chance.randrange(AGENTS)}",
        "evolution_type": chance.choice(("nightly", "triggered")),
        "evolution_id": f"evolution-{seed}-{number}",
        "performance_score": score if number % 7 else None,
        "improvement_delta": round(chance.uniform(-0.2, 0.2), 4),
        "quality_score": round(chance.random(), 3) if number % 7 else None,
        "memory_used_mb": chance.randrange(50, 900),
        "cpu_percent_avg": round(chance.uniform(0, 100), 2),
        "duration_minutes": round(chance.uniform(0.1, 30), 3),
        "success": chance.randrange(2),
        "error_count": chance.randrange(3),
        "warning_count": chance.randrange(3),
        "metadata": json.dumps({"seed": number, "note": "ä"}) if number % 3 else None,
    }


def snapshot(seed: int, number: int, at: float, chance: random.Random) -> dict[str, Any]:
    names = ("accuracy", "success_rate", "output_quality", "reliability", "energy_efficiency")
    return {
        "timestamp": at,
        "agent_id": f"agent-{seed}-{chance.randrange(AGENTS)}",
        **{name: round(chance.random(), 4) for name in names},
        "response_time_ms": round(chance.uniform(10, 9000), 2),
        "consistency": None,
        "evaluation_count": number,
    }


def spec_file(path: Path, rows: int, seed: int = 0) -> Made:
    """Write a file of so many rows over its four tables; agents, ids and values differ with the seed."""
    chance, made = random.Random(seed), Made()
    begin, span = EPOCH + seed, SPAN_SECONDS / rows
    db = sqlite3.connect(path)
    db.executescript(SCHEMA)

    def insert(table: str, row: dict[str, Any]) -> None:
        db.execute(
            f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values())
        )
        made.read[table] += 1

    for number in range(1, rows * 4 // 10 + 1):
        at = round(begin + number * span * 2.5, 6)
        row = evolution(seed, number, at, chance)
        broken = spoil(number, row, BROKEN_EVOLUTIONS)
        made.rejected["evolution_metrics"] += broken
        insert("evolution_metrics", row)
        if number % 2:
            continue
        strategy: dict[str, Any] = {
            "evolution_id": row["evolution_id"],
            "strategy_name": chance.choice(("tune", "extend", "distill")),
            "risk_level": chance.choice(("low", "high", None)),
            "target_gain": 0.1,
            "actual_gain": row["improvement_delta"],
            "success": row["success"],
            "applied_at": at - 1800,
        }
        if number % 50 == 2:
            strategy["target_gain"], broken = "much", True
        elif number % 50 == 4:
            strategy["evolution_id"], broken = f"no-evolution-{number}", True
        made.rejected["evolution_strategies"] += broken
        insert("evolution_strategies", strategy)
    for number in range(1, rows * 3 // 10 + 1):
        row = snapshot(seed, number, round(begin + number * span * 3.3, 6), chance)
        made.rejected["kpi_snapshots"] += spoil(number, row, BROKEN_SNAPSHOTS)
        insert("kpi_snapshots", row)
    for number in range(1, rows - made.read.total() + 1):
        data = (
            {"agent_id": f"agent-{seed}-{number % AGENTS}", "number": number}
            if number % 4
            else {"number": number}
        )
        row = {
            "timestamp": round(begin + number * span * 10, 6),
            "event_type": "tick",
            "data": json.dumps(data),
        }
        made.rejected["system_events"] += spoil(number, row, BROKEN_EVENTS)
        insert("system_events", row)
    db.commit()
    db.close()
    return made


if __name__ == "__main__":
    print(spec_file(Path(sys.argv[1]), int(sys.argv[2])))
