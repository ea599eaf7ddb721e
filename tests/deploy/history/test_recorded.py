"""A node's own history, brought in later: every event as it was recorded, and none that is there already."""

from __future__ import annotations

import asyncio
import csv
import dataclasses
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from evometrics.deploy.history.reading import Reader
from evometrics.deploy.history.report import Report, TableCounts
from evometrics.deploy.history.run import opened, publish, report_path
from evometrics.deploy.history.staging import Staging
from evometrics.producers import EvolutionMetricsCollector, SQLiteMetricsBackend
from evometrics.schemas.events import Event
from evometrics.schemas.evolutions.snapshots import snapshots_of
from evometrics.schemas.history.file import open_to_read
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.rules.validation import POST, PRE
from evometrics.schemas.service.settings import SettingsError
from evometrics.schemas.topics import BY_RECORD, RAW_TOPICS
from evometrics.schemas.wire.framing import WireFormat
from evometrics.sinks.clickhouse.client import open_client
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.conftest import broker, database, empty_database  # noqa: F401 - fixtures
from tests.support.influxdb import completion
from tests.support.outboxes import arrived
from tests.support.sinks import Kafka, eventually, rows, running

EVOLUTIONS = 40


async def record(path: Path, node_id: str, **more: Any) -> list[Event]:
    """Record events of every kind; return them as the history has them."""
    given = {"db_path": str(path), "history_db": str(path), "node_id": node_id, "stop_timeout": 30, **more}
    collector = EvolutionMetricsCollector(given)
    await collector.start()
    for number in range(EVOLUTIONS):
        agent = f"{node_id}-agent-{number % 4}"
        async with collector.evolution(agent, strategy="tune", pre_kpis={"accuracy": number / 100}) as run:
            await run.progress(fitness=0.5)
            await run.complete(post_kpis={"accuracy": 0.5, "größe": 2.0}, cost_usd=0.25)
        await collector.record_system_event("said", {"agent_id": agent, "text": "ü"})
    await collector.stop()
    return held(path)


def held(path: Path) -> list[Event]:
    db = open_to_read(path)
    try:
        return [WireFormat().decode(value) for (value,) in db.execute("SELECT value FROM events")]
    finally:
        db.close()


async def bring_in(path: Path, kafka: Kafka, clickhouse: ClickHouseSettings) -> dict[str, TableCounts]:
    """Import a file as the command does; return what came of its rows."""
    with Staging() as staging:
        with Report(report_path(path, None), path) as report:
            reader = Reader(opened(path, None), "import", staging, report)
            list(reader.read())
        staging.prepare()
        deadline = time.monotonic() + 60
        await publish(
            reader.counts, staging, kafka.settings, clickhouse, kafka.sink.group, deadline, lambda n: None
        )
    return reader.counts


async def stored(clickhouse: ClickHouseSettings, events: list[Event]) -> None:
    """Wait until the raw tables have as many rows as there are events; hold that each is there once."""
    for topic in RAW_TOPICS:
        wanted = sorted(e.event_id for e in events if BY_RECORD[e.record] is topic)
        if not wanted:
            continue
        sql = f"SELECT toString(event_id) FROM {topic.table}_rows"

        async def enough(sql: str = sql, count: int = len(wanted)) -> bool:
            return len(await rows(clickhouse, sql)) >= count

        await eventually(enough, f"{len(wanted)} rows in {topic.table}")
        assert sorted(found for (found,) in await rows(clickhouse, sql)) == wanted


async def test_events_of_a_history_are_published_as_they_were_recorded_and_once(
    broker: Kafka,  # noqa: F811
    database: ClickHouseSettings,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("EVOMETRICS_KAFKA_BROKERS", raising=False)
    path = tmp_path / "evolution_metrics.db"
    events = await record(path, "without-broker")
    assert {e.record for e in events} >= {"evolution_started", "evolution_progressed", "evolution_completed"}
    by_table = Counter(BY_RECORD[e.record].table for e in events)
    async with running(broker, database):
        first = await bring_in(path, broker, database)
        assert {table: counts.imported for table, counts in first.items()} == by_table
        await stored(database, events)
        second = await bring_in(path, broker, database)
        assert {table: counts.already_there for table, counts in second.items()} == by_table
        assert not any(counts.imported or counts.rejected for counts in second.values())
        await exports_are_there_already(broker, database, by_table, tmp_path)
    there = [message.event for message in await arrived(broker.settings.brokers, "without-broker")]
    assert sorted(there, key=lambda e: e.event_id) == sorted(events, key=lambda e: e.event_id)


async def exports_are_there_already(
    kafka: Kafka, clickhouse: ClickHouseSettings, by_table: Counter[str], folder: Path
) -> None:
    """Bring in what ClickHouse has, as it exports it: nothing of that is published."""
    for number, table in enumerate(by_table):
        path = folder / f"{table}.export"
        content = await exported(clickhouse, table, ("CSVWithNames", "Parquet")[number % 2])
        await asyncio.to_thread(path.write_bytes, content)
        (counts,) = (await bring_in(path, kafka, clickhouse)).values()
        assert counts == TableCounts(read=by_table[table], already_there=by_table[table]), table


async def test_a_snapshot_that_the_stream_makes_of_an_event_is_there_where_that_event_is(
    broker: Kafka,  # noqa: F811
    database: ClickHouseSettings,  # noqa: F811
    tmp_path: Path,
) -> None:
    done = completion(1)
    done.pre_kpis, done.post_kpis, done.snapshot_phases = {"accuracy": 0.5}, {"accuracy": 0.75}, [PRE, POST]
    made = [dataclasses.asdict(snapshot) for snapshot in snapshots_of(done)]
    alone = [{**made[0], "event_id": new_event_id(), "source_event_id": new_event_id()}]
    evolutions, snapshots, other = (tmp_path / name for name in ("done.csv", "made.csv", "alone.csv"))
    for path, rows_of in ((evolutions, [dataclasses.asdict(done)]), (snapshots, made), (other, alone)):
        lines = [rows_of[0].keys(), *([written(value) for value in row.values()] for row in rows_of)]
        await asyncio.to_thread(write_csv, path, lines)
    async with running(broker, database):
        assert (await bring_in(evolutions, broker, database))["evolution_completed"].imported == 1
        assert (await bring_in(snapshots, broker, database))["kpi_snapshots"].already_there == 2
        assert (await bring_in(other, broker, database))["kpi_snapshots"].imported == 1


def written(value: Any) -> Any:
    """Return a value as a cell of a CSV file."""
    return json.dumps(value) if isinstance(value, dict | list) else value


def write_csv(path: Path, lines: list[Any]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(lines)


async def exported(clickhouse: ClickHouseSettings, table: str, form: str) -> bytes:
    """Return a table as ClickHouse writes it to a file."""
    client = await open_client(clickhouse)
    try:
        return await client.raw_query(f"SELECT * FROM {table}", fmt=form)
    finally:
        await client.close()


async def test_what_an_outbox_has_sent_is_not_published_again(
    broker: Kafka,  # noqa: F811
    database: ClickHouseSettings,  # noqa: F811
    tmp_path: Path,
) -> None:
    path = tmp_path / "history.db"
    async with running(broker, database):
        events = await record(
            path, "beside", brokers=broker.settings.brokers, db_path=str(tmp_path / "outbox.db")
        )
        counts = await bring_in(path, broker, database)
        assert sum(each.already_there for each in counts.values()) == len(events) > 4 * EVOLUTIONS
        assert not any(each.imported for each in counts.values())
        await stored(database, events)
    assert len(await arrived(broker.settings.brokers, "beside")) == len(events)


def test_a_history_that_was_written_to_by_someone_else_is_read_as_far_as_it_can_be(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    backend = SQLiteMetricsBackend(path)
    backend.store([completion(number) for number in range(3)])
    assert backend.db is not None
    backend.db.execute("UPDATE events SET value = x'c301' WHERE rowid = 2")
    backend.close()
    with Staging() as staging, Report(report_path(path, None), path) as report:
        reader = Reader(opened(path, None), "import", staging, report)
        list(reader.read())
        assert staging.prepare() == 2
    counts = reader.counts["evolution_completed"]
    assert (counts.read, counts.to_import, counts.rejected) == (3, 2, 1)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(SettingsError, match=r"h\.db: can't be read"):
        opened(path, None)
