"""What was not measured is NULL for analysts, and left out of everything that is added up."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from evometrics.schemas.events import (
    Event,
    EvolutionCompleted,
    EvolutionMetrics,
    EvolutionProgressed,
    EvolutionStarted,
)
from evometrics.schemas.evolutions.outcome import evolution_metrics
from evometrics.schemas.metrics import OF_SINK, Instruments
from evometrics.schemas.wire.catalog import newest, writer_schema
from evometrics.schemas.wire.datum import write_record
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.batch import Batch, Partition
from evometrics.sinks.worker.tally import read_ended
from evometrics.sinks.worker.writer import TableWriter
from tests.sinks.migrations.test_new_columns import group
from tests.support.changed_schemas import optional, with_fields
from tests.support.sinks import WIRE, common, rows, sent, store


def completed(**fields: Any) -> EvolutionCompleted:
    head = {
        "evolution_id": "e",
        "started_at": 0,
        "status": "succeeded",
        "success": True,
        "strategy_used": "tune",
    }
    figures = {"duration_seconds": 60.0, "memory_used_mb": 500.0, "network_bytes_transferred": 7}
    kpis = {"pre_kpis": {"performance": 0.5}, "post_kpis": {"performance": 0.75}}
    done = EvolutionCompleted(**common("a"), **head, **figures, **kpis, cpu_percent_avg=3.0)
    return dataclasses.replace(done, **fields)


ALL = ["duration_seconds", "memory_used_mb", "cpu_percent_avg", "network_bytes_transferred"]
BARE = completed(
    duration_seconds=0.0, memory_used_mb=0.0, cpu_percent_avg=0.0, network_bytes_transferred=0, unmeasured=ALL
)


async def stored(settings: ClickHouseSettings, events: list[Event]) -> None:
    writer, batch = TableWriter(settings, Instruments(CollectorRegistry(), OF_SINK)), Batch()
    for offset, event in enumerate(events):
        message = sent(event, offset=offset, timestamp=event.occurred_at // 1000)
        batch.add({Partition(message.topic, 0): [message]}, WIRE)
    for each in batch.groups.values():
        assert await store(writer, each) == []
    await writer.close()


async def test_figures_named_as_unmeasured_are_null_in_every_table(database: ClickHouseSettings) -> None:
    started = EvolutionStarted(**common("a"), evolution_id="e", unmeasured=["cpu_percent"], memory_mb=5.0)
    progressed = EvolutionProgressed(
        **common("a"), evolution_id="e", iteration=1, fitness=0.0, unmeasured=["fitness"], cpu_percent=2.0
    )
    await stored(database, [started, progressed, BARE, evolution_metrics(BARE)])
    assert await rows(database, "SELECT cpu_percent, memory_mb FROM evolution_started") == [(None, 5.0)]
    shown = "SELECT fitness, cpu_percent, memory_mb FROM evolution_progressed"
    assert await rows(database, shown) == [(None, 2.0, None)], "no process takes 0 MB"
    shown = f"SELECT {', '.join(ALL)} FROM evolution_completed"
    assert await rows(database, shown) == [(None,) * 4]
    shown = (
        "SELECT duration_minutes, memory_used_mb, cpu_percent_avg, network_bytes_transferred, efficiency, "
        "improvement_delta FROM evolution_metrics"
    )
    assert await rows(database, shown) == [(None,) * 5 + (0.25,)]


async def test_the_memory_of_earlier_versions_that_was_not_measured_is_null(
    database: ClickHouseSettings,
) -> None:
    old = dataclasses.replace(evolution_metrics(completed()), memory_used_mb=0.0, efficiency=0.0)
    await stored(database, [old])
    shown = "SELECT memory_used_mb, efficiency, duration_minutes FROM evolution_metrics"
    assert await rows(database, shown) == [(None, None, 1.0)]


async def test_unknown_figures_are_left_out_of_means_sums_and_trends(database: ClickHouseSettings) -> None:
    known = completed(occurred_at=BARE.occurred_at)  # of one hour
    await stored(database, [evolution_metrics(event) for event in (known, BARE)])
    for view in ("evolution_hourly", "evolution_daily"):
        sql = (
            "SELECT attempts, mean_efficiency, duration_minutes, memory_used_mb, network_bytes_transferred "
            f"FROM {view}"
        )
        assert await rows(database, sql) == [(2, 0.5, 1.0, 500.0, 7)]
    async with MetricsQuery(database) as query:
        for metric, value in (
            ("memory_used_mb", 500.0),
            ("duration_minutes", 1.0),
            ("network_bytes_transferred", 7.0),
        ):
            trend = await query.get_resource_usage_trends("a", metric)
            assert (trend["count"], trend["mean"]) == (1, value), metric
        history = await query.get_agent_evolution_history("a")
    assert {tuple(e.unmeasured) for e in history} == {
        (),
        ("duration_minutes", "memory_used_mb", "cpu_percent_avg", "network_bytes_transferred", "efficiency"),
    }


async def test_sums_of_what_is_known_of_none_are_null(database: ClickHouseSettings) -> None:
    await stored(database, [evolution_metrics(BARE)])
    figures = "attempts, mean_efficiency, duration_minutes, memory_used_mb, network_bytes_transferred"
    assert await rows(database, f"SELECT {figures}, errors FROM evolution_daily") == [
        (1, None, None, None, None, 0)
    ]


async def test_a_view_that_is_made_wider_still_shows_unknown_figures_as_null(
    database: ClickHouseSettings,
) -> None:
    schema = writer_schema(BARE.record, 0, with_fields(BARE.record, optional("tokens", "long")))
    writer = TableWriter(database, Instruments(CollectorRegistry(), OF_SINK))
    assert await store(writer, group(schema, BARE, tokens=5)) == []
    await writer.close()
    shown = f"SELECT {', '.join(ALL)}, tokens FROM evolution_completed"
    assert await rows(database, shown) == [(None,) * 4 + (5,)]


@pytest.mark.parametrize("done", [completed(), BARE])
def test_prometheus_takes_no_duration_that_is_unknown(done: EvolutionCompleted) -> None:
    schema = newest(EvolutionMetrics.record)
    row = read_ended(schema, write_record(schema, evolution_metrics(done).to_record()), 0)
    assert ("duration_minutes" in row.unmeasured) == (done is BARE)
    assert row.memory_used_mb == (None if done is BARE else 500.0)


def test_efficiency_is_unknown_where_memory_or_duration_is_and_0_where_nothing_was_gained() -> None:
    assert evolution_metrics(completed(memory_used_mb=0.0)).unmeasured == ["efficiency"]
    assert evolution_metrics(completed(unmeasured=["duration_seconds"])).unmeasured == [
        "duration_minutes",
        "efficiency",
    ]
    lost = evolution_metrics(completed(post_kpis={"performance": 0.25}))
    assert (lost.efficiency, lost.unmeasured) == (0.0, [])
