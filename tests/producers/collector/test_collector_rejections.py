"""What the collector can't record, and settings it can't work with, it names."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evometrics.producers import EvolutionMetricsCollector
from evometrics.schemas.events import EvolutionCompleted, SystemEvent
from evometrics.schemas.rules.validation import InvalidEvent
from evometrics.schemas.service.settings import SettingsError
from tests.support.outboxes import config, waiting


def rejections(collector: EvolutionMetricsCollector) -> list[dict[str, Any]]:
    events = [e for e in waiting(collector) if isinstance(e, SystemEvent)]
    return [json.loads(e.data) for e in events if e.event_type == "event_rejected"]


class Silent:
    """Raises for whatever it is asked."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no answer")

    def __repr__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "event",
    [
        SimpleNamespace(),
        SimpleNamespace(agent_id=""),
        SimpleNamespace(agent_id=None, success=True),
        SimpleNamespace(agent_id="x" * 1001),
        {"success": True},
        Silent(),
        None,
        "agent-7",
    ],
    ids=lambda event: type(event).__name__,
)
async def test_an_event_without_an_agent_is_named_counted_and_recorded(
    collector: EvolutionMetricsCollector, caplog: pytest.LogCaptureFixture, event: object
) -> None:
    with caplog.at_level(logging.ERROR):
        assert await collector.record_evolution_completion(event) is None
        assert await collector.record_evolution_start(event) is None
    assert collector.rejected == 2
    found = rejections(collector)
    assert [(r["record"], r["field"]) for r in found] == [
        ("evolution_completed", "agent_id"),
        ("evolution_started", "agent_id"),
    ]
    assert all(r["reason"] and len(r["event"]) <= 2000 for r in found)
    assert "evolution_completed.agent_id" in caplog.text
    assert not collector.active_collections


async def test_every_door_without_an_agent_is_closed(collector: EvolutionMetricsCollector) -> None:
    await collector.record_evolution_progress(None, 1, 0.5)
    await collector.record_kpi_snapshot("", {"accuracy": 0.5})
    await collector.record_kpi_snapshot("x" * 1500, {"accuracy": 0.5})
    assert [(r["record"], r["field"]) for r in rejections(collector)] == [
        ("evolution_progressed", "agent_id"),
        ("kpi_snapshot", "agent_id"),
        ("kpi_snapshot", "agent_id"),
    ]


async def test_a_rejected_completion_leaves_its_evolution_open(collector: EvolutionMetricsCollector) -> None:
    await collector.record_evolution_start(SimpleNamespace(agent_id="a", timestamp=100.0))
    await collector.record_evolution_completion(SimpleNamespace(agent_id=""))
    await collector.record_evolution_completion(SimpleNamespace(agent_id="a"))
    completed = waiting(collector)[-1]
    assert isinstance(completed, EvolutionCompleted)
    assert completed.evolution_id == "a-100"
    assert completed.memory_used_mb > 1, "its resources were watched to the end"


async def test_in_strict_mode_a_rejected_event_and_a_value_left_out_raise(tmp_path: Path) -> None:
    collector = EvolutionMetricsCollector(config(tmp_path, strict=True))
    await collector.start()
    with pytest.raises(InvalidEvent, match=r"evolution_started\.agent_id"):
        await collector.record_evolution_start(SimpleNamespace())
    assert len(rejections(collector)) == 1
    with pytest.raises(InvalidEvent, match=r"evolution_completed\.post_kpis\[speed\].*fast"):
        await collector.record_evolution_completion(agent_id="a", success=True, post_kpis={"speed": "fast"})
    assert [type(e) for e in waiting(collector)][-1] is EvolutionCompleted, "recorded all the same"
    await collector.stop()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"buffer_size": "many"}, "buffer_size"),
        ({"buffer_size": 0}, "buffer_size"),
        ({"flush_interval": -1}, "flush_interval"),
        ({"brokers": "localhost"}, "brokers"),
        ({"influxdb_url": "influx"}, "influxdb_url"),
        ({"prometheus_gateway": "ftp://x"}, "prometheus_gateway"),
        ({"db_path": ""}, "db_path"),
        ({"strict": "perhaps"}, "strict"),
        ({"node_id": "n" * 1001}, "node_id"),
        ({"node_id": "n\ud800"}, "node_id"),
        ({"progress_interval": "often"}, "progress_interval"),
        ({"progress_interval": "every 0"}, "progress_interval"),
        ({"progress_interval": -1}, "progress_interval"),
    ],
)
def test_a_bad_config_is_refused_by_name(given: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        EvolutionMetricsCollector(given)


def test_an_orchestrators_own_config_is_taken_and_what_is_misspelt_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        collector = EvolutionMetricsCollector(
            {"population": 20, "bufer_size": 3, "model": {"layers": 2}, "flush_interval": 5}
        )
    assert (collector.settings.buffer_size, collector.settings.flush_interval) == (100, 5)
    (warning,) = [r.message for r in caplog.records]
    assert "bufer_size (did you mean buffer_size?)" in warning
    assert "population" in warning and "model" in warning


def test_config_wins_over_the_environment_which_wins_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOMETRICS_KAFKA_BROKERS", "there:1")
    monkeypatch.setenv("EVOMETRICS_COLLECTOR_NODE_ID", "from-environment")
    assert EvolutionMetricsCollector().kafka.brokers == "there:1"
    assert EvolutionMetricsCollector({"node_id": None}).settings.node_id == "from-environment"
    assert EvolutionMetricsCollector({"node_id": "own"}).settings.node_id == "own"
    assert EvolutionMetricsCollector({"brokers": ["a:1", "b:2"]}).kafka.brokers == "a:1,b:2"
