"""`evometrics import` on a running stack: all is there once, also after another import or a kill."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evometrics.deploy.history.alone import Alone, NotAlone
from evometrics.deploy.pipeline.drain import end_offsets
from evometrics.schemas.events import Event
from evometrics.schemas.kafka.partitions import partition_of
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import DERIVED_TOPICS, RAW_TOPICS
from evometrics.schemas.wire.framing import WireFormat
from tests.support.history_files import Made, spec_file
from tests.support.history_imports import evolutions, rejected, staged
from tests.support.migrated import copied
from tests.support.model import differences, expected
from tests.support.stack import Running, evometrics, running_stack
from tests.support.tables import client, rows
from tests.support.tool_files import tool_file

PARTITIONS = 3
ROWS = 3000
KILLED_ROWS = 8000


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, migrated_folder: Path) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("import") / "data"
    copied(migrated_folder, data / "clickhouse")
    with running_stack(data, partitions=PARTITIONS) as running:
        yield running


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Made]:
    path = tmp_path_factory.mktemp("history") / "evolution_metrics.db"
    return path, spec_file(path, ROWS)


@pytest.fixture(scope="module")
def imported(stack: Running, source: tuple[Path, Made]) -> dict[str, dict[str, int]]:
    """What the first import of the file said; it is stored and computed with."""
    counts = import_file(stack, source[0])
    stack.drained()
    return counts


@pytest.fixture(scope="module")
def paths(source: tuple[Path, Made], imported: dict[str, dict[str, int]]) -> list[Path]:
    """All files imported so far; a test adds its own."""
    return [source[0]]


def import_file(stack: Running, path: Path) -> dict[str, dict[str, int]]:
    found = evometrics("import", str(path), "--data", str(stack.data), "--json", timeout=120)
    assert found.returncode == 1, f"some rows are broken\n{found.stderr}"
    counts: dict[str, dict[str, int]] = json.loads(found.stdout)["tables"]
    for of_table in counts.values():
        assert of_table["read"] == sum(value for name, value in of_table.items() if name != "read")
    return counts


def events(*paths: Path) -> list[Event]:
    """Return the events that files give; the conversion has tests of its own."""
    return [WireFormat().decode(item.value) for path in paths for item in staged(path)]


def raw_messages(brokers: str) -> int:
    return sum(
        asyncio.run(
            end_offsets(KafkaSettings(brokers=brokers), [topic.name for topic in RAW_TOPICS])
        ).values()
    )


def everything(stack: Running) -> dict[str, dict[str, dict[str, Any]]]:
    topics = (*RAW_TOPICS, *DERIVED_TOPICS)
    return {topic.record: rows(stack.clickhouse_url, topic.record) for topic in topics}


def check(stack: Running, wanted: list[Event]) -> None:
    """Compare every row of every table with what the events must lead to."""
    model = expected(wanted, lambda agent: partition_of(agent.encode(), PARTITIONS))
    found = everything(stack)
    for topic in RAW_TOPICS:
        sent = {e.event_id: e.to_record() for e in wanted if e.record == topic.record}
        assert differences(sent, found[topic.record])[:20] == [], topic.name
    for topic in DERIVED_TOPICS:
        of_model = getattr(model, topic.table)
        assert len(of_model) > 100
        assert differences(of_model, found[topic.record])[:20] == [], topic.name
    assert rows(stack.clickhouse_url, "dead_letter") == {}


def test_all_good_rows_are_imported_and_every_table_is_right(
    stack: Running, source: tuple[Path, Made], imported: dict[str, dict[str, int]]
) -> None:
    path, made = source
    for table, counts in imported.items():
        assert counts["read"] == made.read[table]
        assert counts["rejected"] == made.rejected[table] > 0
        assert counts["imported"] == made.taken(table)
    assert len(rejected(path)) == made.rejected.total()
    check(stack, events(path))


def test_rows_read_back_from_our_tables_as_they_were(
    stack: Running, source: tuple[Path, Made], imported: dict[str, dict[str, int]]
) -> None:
    path, made = source
    bad = {(entry["table"], entry["rowid"]) for entry in rejected(path)}

    def original(table: str, columns: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(path) as db:
            db.text_factory = bytes
            found = db.execute(f"SELECT id, {columns} FROM {table}").fetchall()
        good = [row[1:] for row in found if (table, row[0]) not in bad]
        return sorted(tuple(v.decode() if isinstance(v, bytes) else v for v in row) for row in good)

    evolution = "evolution_id, timestamp, agent_id, evolution_type, memory_used_mb, cpu_percent_avg, success"
    evolution += ", error_count, warning_count"
    snapshot = "timestamp, agent_id, accuracy, response_time_ms, evaluation_count"
    strategy = "evolution_id, strategy_name, target_gain, success, applied_at"
    with client(stack.clickhouse_url) as sql:
        for table, columns in (
            ("evolution_metrics", evolution),
            ("kpi_snapshots", snapshot),
            ("system_events", "timestamp, event_type, data"),
        ):
            ours = sorted(sql.query(f"SELECT {columns} FROM {table}").result_rows)
            assert ours == original(table, columns)
            assert len(ours) == made.taken(table)
        named = sql.query(
            f"SELECT {strategy} FROM evolution_strategies WHERE strategy_name != ''"
        ).result_rows
        assert sorted(named) == original("evolution_strategies", strategy)
        figures = "evolution_id, performance_score, improvement_delta, quality_score, duration_minutes"
        gains = sorted(sql.query(f"SELECT {figures} FROM evolution_metrics").result_rows)
    scored = 0
    for ours, (name, *known, minutes) in zip(gains, original("evolution_metrics", figures), strict=True):
        assert (ours[0], ours[-1]) == (name, pytest.approx(minutes))
        if known[0] is not None:
            scored += 1
            assert ours[1:-1] == tuple(map(pytest.approx, known))
    assert scored > ROWS / 4


def test_importing_again_publishes_nothing_and_changes_nothing(
    stack: Running, source: tuple[Path, Made], imported: dict[str, dict[str, int]], tmp_path: Path
) -> None:
    path, made = source
    before, messages = everything(stack), raw_messages(stack.brokers)
    moved = tmp_path / "the same under another name.db"
    moved.write_bytes(path.read_bytes())
    counts = import_file(stack, moved)
    for table, of_table in counts.items():
        assert (of_table["imported"], of_table["already_there"]) == (0, made.taken(table))
    assert raw_messages(stack.brokers) == messages
    stack.drained()
    assert everything(stack) == before


def test_what_clickhouse_keeps_only_as_computed_is_not_published_again(
    stack: Running, source: tuple[Path, Made], imported: dict[str, dict[str, int]]
) -> None:
    messages = raw_messages(stack.brokers)
    path, made = source
    with client(stack.clickhouse_url) as sql:
        kept = {}
        for table in ("evolution_completed_rows", "kpi_snapshots_rows"):
            kept[table] = sql.query(f"SELECT count() FROM {table}").result_rows
            sql.command(f"RENAME TABLE {table} TO {table}_away")
            sql.command(f"CREATE TABLE {table} AS {table}_away")
        try:
            counts = import_file(stack, path)
        finally:
            for table in kept:
                sql.command(f"DROP TABLE {table}")
                sql.command(f"RENAME TABLE {table}_away TO {table}")
        assert kept == {table: sql.query(f"SELECT count() FROM {table}").result_rows for table in kept}
    assert sum(of_table["already_there"] for of_table in counts.values()) == sum(map(made.taken, counts))
    assert raw_messages(stack.brokers) == messages


def test_an_import_waits_for_what_the_sink_has_not_stored_yet(
    stack: Running, paths: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "history.db"
    made = spec_file(path, 400, seed=2)
    paths.append(path)
    before = raw_messages(stack.brokers)
    sinks = [pid for name, pid in stack.pids().items() if name.startswith("sink")]
    assert sinks
    for pid in sinks:
        os.kill(pid, signal.SIGSTOP)
    try:
        first = import_file(stack, path)
        messages = raw_messages(stack.brokers)
        assert messages - before == len(staged(path))
        again = evometrics("import", str(path), "--data", str(stack.data), "--wait", "1")
        assert again.returncode == 1
        assert "messages of evometrics" in again.stderr, "it says what the sink has left"
    finally:
        for pid in sinks:
            os.kill(pid, signal.SIGCONT)
    second = import_file(stack, path)
    assert raw_messages(stack.brokers) == messages
    for table in first:
        assert first[table]["imported"] == second[table]["already_there"] == made.taken(table)
    stack.drained()
    check(stack, events(*paths))


async def test_two_imports_at_once_are_not_let_in(stack: Running) -> None:
    kafka = KafkaSettings(brokers=stack.brokers)
    async with Alone(kafka) as first:
        for _ in range(2):
            with pytest.raises(NotAlone, match="another import is running"):
                async with Alone(kafka):
                    pass
        first.check()
    async with Alone(kafka) as second:
        second.check()
        second.member = "as the broker no longer knows it"
        with pytest.raises(NotAlone, match="run it again"):
            second.check()


def test_an_import_that_is_killed_again_and_again_goes_on_and_leaves_nothing_behind(
    stack: Running, paths: list[Path], tmp_path: Path
) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    chance = random.Random(seed)
    path, temporary = tmp_path / "history.db", tmp_path / "temporary"
    temporary.mkdir()
    made = spec_file(path, KILLED_ROWS, seed=1)
    paths.append(path)
    wanted = len(staged(path))
    before = raw_messages(stack.brokers)
    command = [sys.executable, "-m", "evometrics.deploy.cli", "import", str(path), "--data", str(stack.data)]
    at = (chance.uniform(0, 0.6), chance.uniform(0, 0.9))
    published = []
    for share in at:
        process = subprocess.Popen(
            command,
            env=os.environ | {"SQLITE_TMPDIR": str(temporary)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while raw_messages(stack.brokers) - before <= share * wanted and process.poll() is None:
            assert time.monotonic() < deadline, f"seed {seed}: nothing is published"
            time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.wait()
        published.append(raw_messages(stack.brokers) - before)
    counts = import_file(stack, path)
    stack.drained()
    assert raw_messages(stack.brokers) - before == wanted, f"seed {seed}: {published} after the kills"
    for table, of_table in counts.items():
        assert of_table["imported"] + of_table["already_there"] == made.taken(table), f"seed {seed}"
    check(stack, events(*paths))
    assert list(temporary.iterdir()) == []
    assert {file.name for file in tmp_path.iterdir()} == {
        "temporary",
        "history.db",
        "history.db.rejected.jsonl",
    }


def test_what_another_tool_has_written_is_there_once_with_its_scores_to_the_bit(
    stack: Running, tmp_path: Path
) -> None:
    tool_file("openevolve_trace_failures.jsonl", tmp_path)
    path = tool_file("openevolve_trace.jsonl", tmp_path)
    wanted = {event.event_id: event.to_record() for event in evolutions(path)}

    def count(of: str) -> int:
        found = evometrics("import", str(path), "--data", str(stack.data), "--json", timeout=120)
        assert found.returncode == 0, found.stderr
        return sum(int(counts[of]) for counts in json.loads(found.stdout)["tables"].values())

    assert count("imported") == len(wanted)
    stack.drained()
    before = raw_messages(stack.brokers)
    assert count("already_there") == len(wanted)
    assert raw_messages(stack.brokers) == before
    stored = rows(stack.clickhouse_url, "evolution_completed")
    assert differences(wanted, {key: stored[key] for key in wanted if key in stored}) == []
    metrics = {
        row["source_event_id"]: row for row in rows(stack.clickhouse_url, "evolution_metrics").values()
    }
    for key, event in wanted.items():
        if event["objective"]:
            assert metrics[key]["performance_score"] == event["post_kpis"].get(event["objective"])
            assert metrics[key]["parent_agent_ids"] == event["parent_agent_ids"]
