"""What the collector can't record, and settings it can't work with, it names."""

from __future__ import annotations

import json
import logging
import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evometrics.producers import EvolutionMetricsCollector
from evometrics.schemas.events import EvolutionCompleted, SystemEvent
from evometrics.schemas.settings import SettingsError
from evometrics.schemas.validation import InvalidEvent
from tests.producers.outbox_tools import config, waiting


def rejections(collector: EvolutionMetricsCollector) -> list[dict[str, Any]]:
    events = [e for e in waiting(collector) if isinstance(e, SystemEvent)]
    return [json.loads(e.data) for e in events if e.event_type == "event_rejected"]


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (SimpleNamespace(), "agent_id"),
        (SimpleNamespace(agent_id=""), "agent_id"),
        (SimpleNamespace(agent_id=7), "agent_id"),
        (SimpleNamespace(agent_id="a", timestamp="soon"), "timestamp"),
        (SimpleNamespace(agent_id="a", timestamp=math.nan), "timestamp"),
        (SimpleNamespace(agent_id="a", timestamp=time.time() + 2 * 86_400), "occurred_at"),
        (SimpleNamespace(agent_id="a", duration_seconds=-1), "duration_seconds"),
        (SimpleNamespace(agent_id="a", duration_seconds=math.inf), "duration_seconds"),
        (SimpleNamespace(agent_id="a", post_evolution_kpis={"accuracy": math.nan}), "post_kpis[accuracy]"),
        (SimpleNamespace(agent_id="a", post_evolution_kpis={"accuracy": None}), "post_kpis[accuracy]"),
        (SimpleNamespace(agent_id="a", post_evolution_kpis=[0.5]), "post_kpis"),
        (SimpleNamespace(agent_id="a", pre_evolution_kpis={"speed": "fast"}), "pre_kpis[speed]"),
        (SimpleNamespace(agent_id="a", insights="one text"), "insights"),
        (SimpleNamespace(agent_id="a", status="done"), "status"),
        (SimpleNamespace(agent_id="a", generation_change="next"), "generation_change"),
        (SimpleNamespace(agent_id="a", convergence_iterations=2.5), "convergence_iterations"),
        (SimpleNamespace(agent_id="a", insights=["x" * 1_100_000]), "insights"),
    ],
)
async def test_an_invalid_event_does_not_raise_but_is_named_counted_and_recorded(
    collector: EvolutionMetricsCollector, caplog: pytest.LogCaptureFixture, event: object, field: str
) -> None:
    with caplog.at_level(logging.ERROR):
        assert await collector.record_evolution_completion(event) is None
    assert collector.rejected == 1
    (rejection,) = rejections(collector)
    assert (rejection["record"], rejection["field"]) == ("evolution_completed", field)
    assert rejection["reason"]
    assert len(rejection["event"]) <= 2000
    assert f"evolution_completed.{field}" in caplog.text


async def test_an_invalid_completion_leaves_its_evolution_open(collector: EvolutionMetricsCollector) -> None:
    await collector.record_evolution_start(SimpleNamespace(agent_id="a", timestamp=100.0))
    await collector.record_evolution_completion(SimpleNamespace(agent_id="a", duration_seconds=-1))
    await collector.record_evolution_completion(SimpleNamespace(agent_id="a", duration_seconds=1))
    completed = waiting(collector)[-1]
    assert isinstance(completed, EvolutionCompleted)
    assert completed.evolution_id == "a-100"
    assert completed.memory_used_mb > 1, "its resources were watched to the end"


async def test_every_door_names_what_is_wrong(collector: EvolutionMetricsCollector) -> None:
    await collector.record_evolution_start(SimpleNamespace(agent_id=""))
    await collector.record_evolution_progress("a", 1, None, evolution_id="e")
    await collector.record_evolution_progress("a", 1, 0.5)
    await collector.record_kpi_snapshot("a", {"accuracy": math.inf})
    await collector.record_kpi_snapshot("a", {"accuracy": 0.5}, phase="later")
    await collector.record_system_event("", {})
    await collector.record_system_event("x", {"load": math.nan})
    assert [(r["record"], r["field"]) for r in rejections(collector)] == [
        ("evolution_started", "agent_id"),
        ("evolution_progressed", "fitness"),
        ("evolution_progressed", "evolution_id"),
        ("kpi_snapshot", "accuracy"),
        ("kpi_snapshot", "phase"),
        ("system_event", "event_type"),
        ("system_event", "data"),
    ]


async def test_text_that_utf8_cannot_hold_is_rejected_not_raised(
    collector: EvolutionMetricsCollector,
) -> None:
    await collector.record_system_event("x\ud800", {"agent_id": "\ud800"})
    await collector.record_evolution_start(SimpleNamespace(agent_id="\ud800"))
    assert [r["record"] for r in rejections(collector)] == ["system_event", "evolution_started"]


async def test_in_strict_mode_an_invalid_event_raises_too(tmp_path: Path) -> None:
    collector = EvolutionMetricsCollector(config(tmp_path, strict=True))
    await collector.start()
    with pytest.raises(InvalidEvent, match=r"evolution_started\.agent_id"):
        await collector.record_evolution_start(SimpleNamespace())
    assert len(rejections(collector)) == 1
    await collector.stop()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"bufer_size": 3}, "bufer_size"),
        ({"buffer_size": "many"}, "buffer_size"),
        ({"buffer_size": 0}, "buffer_size"),
        ({"flush_interval": -1}, "flush_interval"),
        ({"brokers": "localhost"}, "brokers"),
        ({"influxdb_url": "influx"}, "influxdb_url"),
        ({"prometheus_gateway": "ftp://x"}, "prometheus_gateway"),
        ({"db_path": ""}, "db_path"),
        ({"strict": "perhaps"}, "strict"),
    ],
)
def test_a_bad_config_is_refused_by_name(given: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        EvolutionMetricsCollector(given)


def test_config_wins_over_the_environment_which_wins_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOMETRICS_KAFKA_BROKERS", "there:1")
    monkeypatch.setenv("EVOMETRICS_COLLECTOR_NODE_ID", "from-environment")
    assert EvolutionMetricsCollector().kafka.brokers == "there:1"
    assert EvolutionMetricsCollector({"node_id": None}).settings.node_id == "from-environment"
    assert EvolutionMetricsCollector({"node_id": "own"}).settings.node_id == "own"
    assert EvolutionMetricsCollector({"brokers": ["a:1", "b:2"]}).kafka.brokers == "a:1,b:2"
