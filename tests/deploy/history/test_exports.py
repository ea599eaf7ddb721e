"""What ClickHouse writes of our tables to a file is brought back event by event, as it was."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry

from evometrics.deploy.history.run import opened
from evometrics.schemas.events import (
    Event,
    EvolutionCompleted,
    EvolutionProgressed,
    KpiSnapshot,
    now_micros,
)
from evometrics.schemas.evolutions.outcome import evolution_metrics
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.metrics import OF_SINK, Instruments
from evometrics.schemas.service.settings import SettingsError
from evometrics.schemas.topics import BY_RECORD, RAW_TOPICS
from evometrics.schemas.wire.catalog import newest
from evometrics.schemas.wire.framing import SINGLE_OBJECT_LENGTH, WireFormat
from evometrics.sinks.clickhouse.client import open_client
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.batch import InsertGroup, InsertRow
from evometrics.sinks.worker.writer import TableWriter
from tests.sinks.conftest import database, empty_database  # noqa: F401 - fixtures
from tests.support.examples import EXAMPLES
from tests.support.history_imports import staged
from tests.support.sinks import sent, store

AT = 1_750_000_000_123_456
#: What the ways of writing a text escape, each in its own way.
AWKWARD = "it's \x001 \"said\", \\N \\0 \\' {'a':1}\n\ttwo\r\nlines; größe \U0001f9ec"
FORMS = ("CSVWithNames", "TabSeparatedWithNames", "JSONEachRow", "Parquet")
MAP = {AWKWARD: 1.5, "": -2e-300, "x'y": 1e300}


def events() -> list[Event]:
    """Return two events of every raw record: full ones, and ones of awkward texts and unmeasured figures."""
    found: list[Event] = []
    for example in EXAMPLES:
        if BY_RECORD[example.record] not in RAW_TOPICS:
            continue
        full = dataclasses.replace(example, event_id=new_event_id(), occurred_at=AT)
        if isinstance(full, EvolutionCompleted):
            full.unmeasured = []
        found += [full, dataclasses.replace(full, event_id=new_event_id(), **awkward(full))]
    return found


def awkward(event: Event) -> dict[str, Any]:
    """Return values of an event that are hard to write down."""
    values: dict[str, Any] = {"agent_id": AWKWARD, "node_id": "node 'one'"}
    fields = {field.name for field in dataclasses.fields(event)}
    values |= {name: "" for name in ("evolution_type", "strategy", "strategy_used", "unit") if name in fields}
    values |= {name: MAP for name in ("pre_kpis", "post_kpis", "extra") if name in fields}
    values |= {name: {AWKWARD: AWKWARD, "": ""} for name in ("metadata", "labels") if name in fields}
    if isinstance(event, EvolutionCompleted):
        values |= {"insights": [AWKWARD, ""], "fitness_trajectory": [], "started_at": AT - 7}
        values |= {"memory_used_mb": 0.0, "error_count": 0, "unmeasured": ["memory_used_mb", "error_count"]}
        values |= {"gpu_memory_mb": None, "progress_share": None, "parent_agent_id": None}
    elif isinstance(event, EvolutionProgressed):
        values |= {"fitness": 0.0, "unmeasured": ["fitness"]}
    elif isinstance(event, KpiSnapshot):
        values |= {"accuracy": None, "evolution_id": None, "source_event_id": None}
    return values


async def insert(settings: ClickHouseSettings, found: Sequence[Event]) -> None:
    """Insert events of one record."""
    topic, schema = BY_RECORD[found[0].record], newest(found[0].record)
    group = InsertGroup(topic.name, topic.table, schema)
    for offset, event in enumerate(found):
        message = sent(event, 0, offset, now_micros() // 1000)  # the table keeps 90 days from then
        assert message.value is not None
        group.rows.append(InsertRow(message.value, SINGLE_OBJECT_LENGTH, message))
    writer = TableWriter(settings, Instruments(CollectorRegistry(), OF_SINK))
    try:
        assert await store(writer, group) == []
    finally:
        await writer.close()


async def export(settings: ClickHouseSettings, name: str, form: str, path: Path) -> Path:
    """Write a table or view to a file."""
    client = await open_client(settings)
    try:
        content = await client.raw_query(f"SELECT * FROM {name} ORDER BY event_id", fmt=form)
    finally:
        await client.close()
    await asyncio.to_thread(path.write_bytes, content)
    return path


async def test_every_raw_table_comes_back_whole(
    database: ClickHouseSettings,  # noqa: F811
    tmp_path: Path,
) -> None:
    for topic in RAW_TOPICS:
        wanted = [event for event in events() if event.record == topic.record]
        assert len(wanted) == 2
        await insert(database, wanted)
        for name in (topic.table, f"{topic.table}_rows"):
            for form in FORMS:
                path = await export(database, name, form, tmp_path / f"{name}.{form}")
                found = {item.event_id: WireFormat().decode(item.value) for item in staged(path)}
                assert found == {event.event_id: event for event in wanted}, path.name
                assert opened(path, None).tables == (topic.table,)


async def test_evolution_metrics_are_taken_as_the_evolutions_that_they_are_of(
    database: ClickHouseSettings,  # noqa: F811
    tmp_path: Path,
) -> None:
    done = [event for event in events() if isinstance(event, EvolutionCompleted)]
    rows = [evolution_metrics(event) for event in done]
    await insert(database, rows)
    for form in FORMS:
        path = await export(database, "evolution_metrics", form, tmp_path / form)
        found = [WireFormat().decode(item.value) for item in staged(path)]
        assert {event.event_id for event in found} == {event.event_id for event in done}
        for event in found:
            assert isinstance(event, EvolutionCompleted)
            (row,) = (each for each in rows if each.source_event_id == event.event_id)
            again = evolution_metrics(event)
            for name in ("performance_score", "status", "metadata", "unmeasured", "duration_minutes"):
                assert getattr(again, name) == pytest.approx(getattr(row, name)), name


@pytest.mark.parametrize("record", ["kpi_delta", "success_rate", "dead_letter"])
def test_a_derived_table_is_named_with_what_to_import_instead(record: str, tmp_path: Path) -> None:
    columns = [field["name"] for field in newest(record).source["fields"]]
    path = tmp_path / "export.csv"
    path.write_text(",".join(columns) + "\n")
    with pytest.raises(SettingsError, match=f"is an export of {BY_RECORD[record].table}, and"):
        opened(path, None)
    pq.write_table(pa.table({name: pa.array([], pa.string()) for name in columns}), path)
    with pytest.raises(SettingsError, match=f"is an export of {BY_RECORD[record].table}, and"):
        opened(path, None)
