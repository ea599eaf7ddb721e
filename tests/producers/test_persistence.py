"""`MetricsPersistence` by itself: every backend that the config names has each metric, once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from evometrics.producers import (
    InfluxDBBackend,
    LocalMetricsQuery,
    MetricsPersistence,
    PrometheusBackend,
    SQLiteMetricsBackend,
)
from evometrics.schemas.events import EvolutionCompleted
from evometrics.schemas.rules.validation import InvalidEvent
from evometrics.schemas.topics import EVOLUTION_COMPLETED
from tests.support.influxdb import StandIn, completion, number_of, stand_in
from tests.support.outboxes import NO_BROKER, left_in


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("EVOMETRICS_KAFKA_BROKERS", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def influx() -> Iterator[StandIn]:
    with stand_in() as server:
        yield server


@dataclass
class EvolutionMetrics:
    """The specification's dataclass, as an orchestrator has it."""

    timestamp: float
    agent_id: str
    evolution_type: str
    evolution_id: str
    performance_score: float
    improvement_delta: float
    quality_score: float
    memory_used_mb: int
    cpu_percent_avg: float
    duration_minutes: float
    success: bool
    error_count: int = 0
    warning_count: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)
    strategy_used: str | None = None
    gpu_memory_mb: int | None = None


def metric(**fields: Any) -> EvolutionMetrics:
    values: dict[str, Any] = {
        "timestamp": time.time() - 60,
        "agent_id": "agent-1",
        "evolution_type": "nightly",
        "evolution_id": "e-7",
        "performance_score": 0.75,
        "improvement_delta": 0.25,
        "quality_score": 0.5,
        "memory_used_mb": 512,
        "cpu_percent_avg": 80.5,
        "duration_minutes": 2.0,
        "success": True,
        "metadata": {"note": "ü", "deep": {"n": 1}},
    }
    return EvolutionMetrics(**{**values, **fields})


async def test_the_specifications_metrics_are_in_the_history_and_in_influxdb(influx: StandIn) -> None:
    persistence = MetricsPersistence({"influxdb_url": influx.url})
    assert [type(backend) for backend in persistence.backends] == [SQLiteMetricsBackend, InfluxDBBackend]
    await persistence.initialize()
    await persistence.initialize()
    given = metric()
    assert await persistence.store_metric(given) is not None
    await persistence.store_metric(vars(metric(evolution_id="e-8", memory_used_mb=None, success=False)))
    await persistence.store_metric(given)  # the very same once more
    await persistence.close()
    await persistence.close()
    found = await LocalMetricsQuery("evolution_metrics.db").get_agent_evolution_history("agent-1")
    assert {each.evolution_id: each.status for each in found} == {"e-7": "succeeded", "e-8": "failed"}
    first = next(each for each in found if each.evolution_id == "e-7")
    assert (first.performance_score, first.improvement_delta, first.quality_score) == (0.75, 0.25, 0.5)
    assert (first.duration_minutes, first.memory_used_mb, first.cpu_percent_avg) == (2.0, 512.0, 80.5)
    assert first.metadata == {"note": "ü", "deep": '{"n": 1}'}
    trend = await LocalMetricsQuery("evolution_metrics.db").get_resource_usage_trends("agent-1")
    assert [point["value"] for point in trend["points"]] == [512.0]
    assert {number_of(each) for each in influx.lines} == {7, 8}


async def test_recorded_events_are_kept_as_they_are() -> None:
    persistence = MetricsPersistence()
    await persistence.initialize()
    event = completion(3)
    assert await persistence.store_metric(event) == event.event_id
    await persistence.close()
    (found,) = await LocalMetricsQuery("evolution_metrics.db").get_agent_evolution_history("agent-1")
    assert (found.source_event_id, found.evolution_id) == (event.event_id, "e-3")
    again = MetricsPersistence({"db_path": "other.db"})
    await again.initialize()
    await again.store_metric(found)  # what a query gave goes in again as the same event
    await again.close()
    (same,) = await LocalMetricsQuery("other.db").get_agent_evolution_history("agent-1")
    assert (same.event_id, same.occurred_at, same.improvement_delta) == (
        found.event_id,
        found.occurred_at,
        found.improvement_delta,
    )


async def test_what_cant_be_kept_is_named(here: Path) -> None:
    persistence = MetricsPersistence()
    await persistence.initialize()
    with pytest.raises(InvalidEvent, match="agent_id"):
        await persistence.store_metric(metric(agent_id=""))
    with pytest.raises(InvalidEvent, match=r"success.*neither true nor false"):
        await persistence.store_metric(metric(success="perhaps"))
    with pytest.raises(InvalidEvent, match="has no fields"):
        await persistence.store_metric(17)
    await persistence.close()


async def test_with_a_broker_that_is_away_metrics_wait_on_disk(here: Path) -> None:
    persistence = MetricsPersistence({"brokers": NO_BROKER, "stop_timeout": 0})
    assert persistence.backends == []
    await persistence.initialize()
    await persistence.store_metric(metric())
    await persistence.close()
    (waits,) = left_in(here)
    assert isinstance(waits, EvolutionCompleted) and waits.evolution_id == "e-7"
    later = MetricsPersistence()
    await later.initialize()
    await later.close()
    assert later.sending.published[EVOLUTION_COMPLETED.name] == 1
    assert len(await LocalMetricsQuery("evolution_metrics.db").get_agent_evolution_history("agent-1")) == 1


def test_the_backends_take_the_specifications_arguments(here: Path) -> None:
    sqlite = SQLiteMetricsBackend(db_path="m.db", retention_days=90)
    prometheus = PrometheusBackend(gateway_url="http://127.0.0.1:9091", job_name="evolution_metrics")
    influx = InfluxDBBackend(url="http://127.0.0.1:8086", bucket="aivillage_evolution", org="aivillage")
    for backend in (sqlite, prometheus, influx):
        backend.observe(completion())
    sqlite.send()
    assert (here / "m.db").exists()
    assert prometheus.job == "evolution_metrics"
    assert len(influx.lines) == 1
