"""The specification's side exports: they arrive, they wait for their server, they never disturb recording."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evometrics.deploy.process.ports import free_ports
from evometrics.producers import EvolutionMetricsCollector, InfluxDBBackend
from evometrics.producers.exporters.pushgateway import PrometheusBackend
from evometrics.schemas.service.exposition import Exposition
from evometrics.schemas.service.settings import SettingsError
from tests.support.outboxes import config as common_config
from tests.support.outboxes import until, waiting


def config(folder: Path, **more: Any) -> dict[str, Any]:
    return common_config(folder, **{"node_id": "node 1", "flush_interval": 0.2, **more})


async def evolve(collector: EvolutionMetricsCollector) -> None:
    async with collector.evolution(
        'agent "7", a=b', evolution_type="nightly", pre_kpis={"accuracy": 0.5}
    ) as run:
        await run.complete(post_kpis={"accuracy": 0.9}, duration_seconds=120.0)
    await collector.record_kpi_snapshot('agent "7", a=b', {"accuracy": 0.9, "own": 2})


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as response:
        return str(response.read().decode())


class Server:
    """A real server, started when told."""

    def __init__(self, program: str, arguments: list[str], port: int, probe: str) -> None:
        self.argv = [program, *arguments]
        self.url = f"http://127.0.0.1:{port}"
        self.probe = probe
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    async def start(self) -> None:
        self.process = await asyncio.to_thread(self.spawn)
        async with asyncio.timeout(60):
            while True:
                try:
                    await asyncio.to_thread(get, self.url + self.probe)
                    return
                except OSError:
                    await asyncio.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)


@pytest.fixture
def pushgateway() -> Iterator[Server]:
    program = shutil.which("prometheus-pushgateway") or shutil.which("pushgateway")
    if program is None:
        pytest.skip("no Pushgateway on this machine (apt-get install prometheus-pushgateway)")
    (port,) = free_ports(1)
    server = Server(program, [f"--web.listen-address=127.0.0.1:{port}"], port, "/-/ready")
    yield server
    server.stop()


@pytest.fixture
def influxdb(tmp_path: Path) -> Iterator[Server]:
    program = shutil.which("influxd")
    if program is None:
        pytest.skip("no InfluxDB 1.x on this machine (apt-get install influxdb)")
    port, rpc = free_ports(2)
    data = tmp_path / "influxdb"
    settings = f"""
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{data}/meta"
[data]
dir = "{data}/data"
wal-dir = "{data}/wal"
[http]
bind-address = "127.0.0.1:{port}"
"""
    file = tmp_path / "influxdb.conf"
    file.write_text(settings)
    server = Server(program, ["run", "-config", str(file)], port, "/ping")
    yield server
    server.stop()


async def test_the_specifications_metrics_reach_a_pushgateway_that_comes_up_later(
    pushgateway: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    collector = EvolutionMetricsCollector(config(tmp_path, prometheus_gateway=pushgateway.url))
    await collector.start()
    await evolve(collector)
    await until(lambda: "export failed" in caplog.text)
    await pushgateway.start()
    await evolve(collector)
    await until(lambda: ended(pushgateway) == 2 and any('kpi_name="own"' in x for x in pushed(pushgateway)))
    ours = [line for line in pushed(pushgateway) if 'instance="node 1"' in line]
    assert not any("process" in line or "_created" in line for line in ours)
    values = {
        line.partition("{")[0]: float(line.rpartition(" ")[2]) for line in ours if "kpi_name" not in line
    }
    assert values["evolution_attempts_total"] == 2
    assert values["evolution_duration_seconds_sum"] == 240
    assert values["evolution_performance_improvement"] == pytest.approx(0.1)
    assert values["evolution_memory_used_mb"] > 1
    kpis = {
        line.split('kpi_name="')[1].split('"')[0]: line.rpartition(" ")[2]
        for line in ours
        if "kpi_name" in line
    }
    assert (kpis["accuracy"], kpis["own"]) == ("0.9", "2")
    await collector.stop()
    assert not pushed(pushgateway), "deleted with the collector"


async def test_what_is_pushed_has_the_series_that_the_node_shows_but_for_how_a_gateway_writes_bounds(
    pushgateway: Server, tmp_path: Path
) -> None:
    await pushgateway.start()
    collector = EvolutionMetricsCollector(config(tmp_path, prometheus_gateway=pushgateway.url))
    shown = Exposition(collector.prometheus_registry)
    await collector.start()
    await evolve(collector)
    await until(lambda: any('kpi_name="own"' in line for line in pushed(pushgateway)))

    def series(lines: list[str]) -> dict[str, float]:
        """Return the agents' values by name and labels, those of the group left out."""
        own = (re.sub('(instance|job)="[^"]*",?', "", line) for line in lines if "agent_id=" in line)
        return {name.replace(",}", "}"): float(value) for name, value in (x.rsplit(" ", 1) for x in own)}

    found = series(pushed(pushgateway))
    assert len(found) > 20 and any('le="60"}' in name for name in found)
    assert found == {
        re.sub(r'le="(\d+)\.0"', r'le="\1"', name): value
        for name, value in series(shown.text().splitlines()).items()
    }
    await collector.stop()


def pushed(pushgateway: Server) -> list[str]:
    """Return the samples of every group of ours."""
    lines = get(pushgateway.url + "/metrics").splitlines()
    return [line for line in lines if 'job="evolution_metrics"' in line and not line.startswith("push_")]


def ended(pushgateway: Server) -> float:
    """Return how many evolutions all groups say have ended."""
    counted = [line for line in pushed(pushgateway) if line.startswith("evolution_attempts_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in counted)


async def test_processes_of_a_node_push_side_by_side_and_the_next_one_replaces_what_a_killed_one_left(
    pushgateway: Server, tmp_path: Path
) -> None:
    await pushgateway.start()
    names = ("one", "two")
    both = [EvolutionMetricsCollector(config(tmp_path, prometheus_gateway=pushgateway.url)) for _ in names]
    for collector in both:
        await collector.start()
        await evolve(collector)
    await until(lambda: ended(pushgateway) == 2)
    assert {line.split('instance="')[1].split('"')[0] for line in pushed(pushgateway)} == {
        "node 1",
        "node 1-1",
    }
    await both[1].stop()
    await both[0].stop()

    killed = PrometheusBackend(pushgateway.url, node_id="node 1", beside=tmp_path / "evolution_metrics.db")
    await asyncio.to_thread(killed.send)
    assert killed.turn is not None
    killed.turn.give_back()  # as the system does
    collector = EvolutionMetricsCollector(config(tmp_path, prometheus_gateway=pushgateway.url))
    await collector.start()
    await evolve(collector)
    await until(lambda: ended(pushgateway) == 1)
    assert all('instance="node 1"' in line for line in pushed(pushgateway))
    await collector.stop()
    assert not pushed(pushgateway)


async def test_completions_reach_an_influxdb_that_comes_up_later(influxdb: Server, tmp_path: Path) -> None:
    collector = EvolutionMetricsCollector(config(tmp_path, influxdb_url=f"{influxdb.url}?db=evolution"))
    await collector.start()
    await evolve(collector)
    await asyncio.sleep(0.5)
    await influxdb.start()
    create = urllib.parse.urlencode({"q": "CREATE DATABASE evolution"}).encode()
    asked = urllib.request.Request(influxdb.url + "/query", create)
    await asyncio.to_thread(lambda: urllib.request.urlopen(asked, timeout=60).read())
    await evolve(collector)
    (exporter,) = collector.sending.exporters
    assert isinstance(exporter, InfluxDBBackend)
    await until(lambda: not exporter.lines)
    await collector.stop()
    query = urllib.parse.urlencode({"db": "evolution", "q": "SELECT * FROM evolution_metrics"})
    answer = json.loads(await asyncio.to_thread(get, f"{influxdb.url}/query?{query}"))
    series = answer["results"][0]["series"][0]
    points = [dict(zip(series["columns"], values, strict=True)) for values in series["values"]]
    completed = list(collector.metrics_history)
    assert [p["evolution_id"] for p in points] == [e.evolution_id for e in completed]
    for point in points:
        assert (point["agent_id"], point["node_id"], point["status"]) == (
            'agent "7", a=b',
            "node 1",
            "succeeded",
        )
        assert (point["duration_minutes"], point["success"]) == (2, True)
        assert point["improvement_delta"] == pytest.approx(0.1)


async def test_an_exporter_that_fails_does_not_disturb_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: InfluxDBBackend, event: object) -> None:
        raise RuntimeError("broken exporter")

    monkeypatch.setattr(InfluxDBBackend, "observe", broken)
    collector = EvolutionMetricsCollector(config(tmp_path, influxdb_url="http://127.0.0.1:1?db=x"))
    await collector.start()
    with caplog.at_level(logging.ERROR):
        await evolve(collector)
    assert len([e for e in waiting(collector) if e.agent_id]) == 3
    assert "broken exporter" in caplog.text
    await collector.stop()


def test_a_pushgateway_without_its_library_is_refused_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("evometrics.producers.metrics.node.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"prometheus_gateway.*evometrics\[prometheus\]"):
        EvolutionMetricsCollector({"prometheus_gateway": "127.0.0.1:9091"})


def test_the_backends_libraries_are_not_imported_unless_configured() -> None:
    code = (
        "import sys; from evometrics.producers import EvolutionMetricsCollector as C; C(); "
        "sys.exit(not {'prometheus_client', 'influxdb_client', 'clickhouse_connect'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
