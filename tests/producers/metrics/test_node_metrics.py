"""What a node tells Prometheus of itself, and metrics that its own code registers."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from evometrics.producers import EvolutionMetricsCollector
from evometrics.producers.events.custom_metrics import MetricError
from evometrics.schemas.events import CustomMetric, SystemEvent
from evometrics.schemas.service.exposition import Exposition
from evometrics.schemas.service.settings import SettingsError
from tests.support.outboxes import config, waiting


def scraped(collector: EvolutionMetricsCollector) -> dict[tuple[str, ...], float]:
    """Return what Prometheus reads at the node's port: name and label values, to the value."""
    assert collector.sending.server is not None
    url = f"http://127.0.0.1:{collector.sending.server.port}/metrics"
    with urllib.request.urlopen(url, timeout=60) as response:
        text = response.read().decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_node_tells_what_it_recorded_and_what_waits(tmp_path: Path) -> None:
    collector = EvolutionMetricsCollector(config(tmp_path, prometheus_port=0))
    await collector.start()
    async with collector.evolution("a", evolution_type="nightly", pre_kpis={"performance": 0.25}) as run:
        await run.complete(post_kpis={"performance": 0.75, "loss": None})
    await collector.record_evolution_start({})
    await asyncio.sleep(0.3)
    found = await asyncio.to_thread(scraped, collector)
    assert found["evometrics_outbox_events",] == collector.outbox_depth == 3
    assert found["evometrics_outbox_bytes",] > 500
    assert 0.3 <= found["evometrics_outbox_oldest_seconds",] < 60
    assert found["evometrics_broker_connected",] == 0
    assert found["evometrics_publish_errors_total",] >= 1
    assert found["evometrics_events_recorded_total", "evometrics.evolution.completed"] == 1
    assert found["evometrics_events_shed_total", "evometrics.evolution.progressed"] == 0
    assert found["evometrics_build_info", "node", version("evometrics")] == 1
    assert found["evometrics_values_left_out_total", "post_kpis"] == 1
    assert found["evometrics_events_rejected_total",] == 1
    assert found["evometrics_events_refused_total",] == found["evometrics_events_failed_total",] == 0
    assert found["evometrics_record_seconds_count",] == found["evometrics_record_seconds_bucket", "+Inf"] == 3
    assert 0 < found["evometrics_record_seconds_sum",] < 60
    assert found["evolution_attempts_total", "a", "nightly", "succeeded"] == 1
    assert found["evolution_duration_seconds_count", "a", "nightly"] == 1
    assert found["evolution_performance_improvement", "a"] == 0.5
    assert found["agent_kpi_current", "a", "overall_performance"] == 0.75
    await collector.stop()
    assert collector.sending.server is None


async def test_a_port_that_is_taken_keeps_no_node_from_recording(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        collector = EvolutionMetricsCollector(config(tmp_path, prometheus_port=port))
        with caplog.at_level(logging.ERROR):
            await collector.start()
    assert await collector.record_system_event("x")
    assert f"can't serve /metrics on 127.0.0.1:{port}" in caplog.text
    await collector.stop()


def test_without_prometheus_client_the_setting_is_refused_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("evometrics.producers.metrics.node.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"prometheus_port.*evometrics\[prometheus\]"):
        EvolutionMetricsCollector(config(tmp_path, prometheus_port=0))
    collector = EvolutionMetricsCollector(config(tmp_path))
    with pytest.raises(SettingsError, match=r"prometheus_registry.*evometrics\[prometheus\]"):
        _ = collector.prometheus_registry


def test_prometheus_client_is_not_imported_by_a_node_that_does_not_ask_for_it(tmp_path: Path) -> None:
    code = (
        "import sys; from evometrics.producers import EvolutionMetricsCollector; "
        f"c = EvolutionMetricsCollector({{'db_path': {str(tmp_path / 'e.db')!r}}}); "
        "c.register_metric('x', 'gauge'); assert 'prometheus_client' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_an_applications_own_metrics_are_events_and_series(
    collector: EvolutionMetricsCollector,
) -> None:
    collector.register_metric("mutations", "counter", "Mutations tried.", ["operator"])
    registry = collector.prometheus_registry
    collector.register_metric("prompt_tokens", "histogram", "Tokens of a prompt.", unit="tokens")
    collector.register_metric("temperature", "gauge", "Sampling temperature.", ("agent", "model"), "celsius")
    assert await collector.observe("mutations", 2, {"operator": "swap"}, agent_id="a")
    assert await collector.observe("mutations_total", 1, {"operator": "swap"})
    assert await collector.observe("prompt_tokens", "300")
    assert await collector.observe("temperature", 0.5, {"agent": 7, "colour": "red"})
    events = [e for e in waiting(collector) if isinstance(e, CustomMetric)]
    assert [(e.name, e.kind, e.value, e.labels, e.agent_id) for e in events] == [
        ("mutations", "counter", 2.0, {"operator": "swap"}, "a"),
        ("mutations", "counter", 1.0, {"operator": "swap"}, ""),
        ("prompt_tokens", "histogram", 300.0, {}, ""),
        ("temperature", "gauge", 0.5, {"agent": "7", "model": ""}, ""),
    ]
    assert (events[0].help, events[2].unit) == ("Mutations tried.", "tokens")
    assert events[1].key == "node-1", "what is about no agent is keyed by the node"
    assert collector.left_out == {"labels": 1}
    assert registry.get_sample_value("mutations_total", {"operator": "swap"}) == 3
    assert registry.get_sample_value("prompt_tokens_sum") == 300
    assert registry.get_sample_value("temperature_celsius", {"agent": "7", "model": ""}) == 0.5


async def test_a_metric_without_help_labels_or_unit_can_be_scraped(
    collector: EvolutionMetricsCollector,
) -> None:
    collector.register_metric("bare", "gauge", None, None, None)
    registry = collector.prometheus_registry
    assert await collector.observe("bare", 2)
    assert registry.get_sample_value("bare") == 2
    assert "bare 2.0" in Exposition(registry).text()


async def test_an_observation_that_says_nothing_is_rejected_and_raises_into_nothing(
    collector: EvolutionMetricsCollector,
) -> None:
    collector.register_metric("mutations", "counter")
    assert await collector.observe("mutation", 1) is None
    assert await collector.observe("mutations", -1) is None
    assert await collector.observe("mutations", float("nan")) is None
    assert await collector.observe("mutations", 1, labels="none")
    assert await collector.observe("mutations", 0)
    reports = [json.loads(e.data) for e in waiting(collector) if isinstance(e, SystemEvent)]
    assert [(r["record"], r["field"]) for r in reports] == [
        ("custom_metric", "name"),
        ("custom_metric", "value"),
        ("custom_metric", "value"),
    ]
    assert "mutation is not registered (registered: mutations)" in reports[0]["reason"]
    assert "a counter only grows" in reports[1]["reason"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (("2fast", "gauge"), "does not start with a digit"),
        (("a-b", "gauge"), "letters, digits"),
        (("", "gauge"), "letters, digits"),
        (("x" * 1001, "gauge"), "characters"),
        ((None, "gauge"), "must be text"),
        (("x", "gauge", 5), "must be text"),
        (("x", "rate"), "kind 'rate' is not one of counter, gauge, histogram, summary"),
        (("x", "gauge", "", ["__name"]), "label '__name'"),
        (("x", "gauge", "", ["a-b"]), "label 'a-b'"),
        (("x", "gauge", "", ["a", "a"]), "twice"),
        (("x", "histogram", "", ["le"]), "uses it itself"),
        (("x", "gauge", "", (), "m/s"), "unit 'm/s'"),
        (("evolution_attempts", "counter"), "of evometrics"),
        (("evometrics_outbox_events", "gauge"), "of evometrics"),
    ],
)
def test_what_prometheus_could_not_take_is_refused_by_name(
    tmp_path: Path, given: tuple[Any, ...], reason: str
) -> None:
    with pytest.raises(MetricError, match=reason):
        EvolutionMetricsCollector(config(tmp_path)).register_metric(*given)


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        (("x", "gauge"), ("x", "counter"), ["a gauge", "a counter"]),
        (("x", "gauge", "", ["a"]), ("x", "gauge", "", ["b"]), ["with labels a", "with labels b"]),
        (("x", "counter"), ("x_total", "gauge"), ["x_total", "counter", "gauge"]),
        (("x", "histogram"), ("x_count", "gauge"), ["x_count", "histogram", "gauge"]),
        (("x", "summary", "", (), "s"), ("x_s", "summary"), ["x (summary)", "x_s (summary)", "expose x_s;"]),
        (("x", "gauge", "", (), "s"), ("x", "gauge", "", (), "m"), ["a gauge in s", "a gauge in m"]),
    ],
)
def test_a_second_registration_as_something_else_names_both(
    tmp_path: Path, first: Iterable[Any], second: Iterable[Any], named: list[str]
) -> None:
    collector = EvolutionMetricsCollector(config(tmp_path))
    collector.register_metric(*first)
    collector.register_metric(*first)
    with pytest.raises(MetricError) as raised:
        collector.register_metric(*second)
    assert all(part in str(raised.value) for part in named)
