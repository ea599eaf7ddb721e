"""Scrapes are answered beside the event loop, one at a time, in the format and packing asked for."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from evometrics.schemas.metrics import AGENT_KPI, EVOLUTION_ATTEMPTS
from evometrics.schemas.service import exposition
from evometrics.schemas.service.exposition import Exposition
from evometrics.schemas.service.http import HealthServer, HttpAddress, serve
from evometrics.schemas.service.large import LargeMetric

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


class Lines:
    """Lines without end, or some, and how many were taken."""

    def __init__(self, number: int | None) -> None:
        self.number = number
        self.taken = 0
        self.at_once = self.most_at_once = 0

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        yield LargeMetric(EVOLUTION_ATTEMPTS, lambda scraper: self.some(), list)
        yield LargeMetric(AGENT_KPI, lambda scraper: iter(()), list)

    def some(self) -> Iterator[str]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            mine = 0
            while self.number is None or mine < self.number:
                mine += 1
                self.taken += 1
                labels = f'agent_id="a{mine}",evolution_type="n",status="failed"'
                yield f"evolution_attempts_total{{{labels}}} 1.0\n"
                time.sleep(0.0001)
        finally:
            self.at_once -= 1


@pytest.fixture
def registry() -> CollectorRegistry:
    found = CollectorRegistry()
    Counter("seen_total", "What was seen.", registry=found).inc(3)
    Gauge("agents_created", "A name of somebody's own.", registry=found).set(2)
    return found


async def served(registry: CollectorRegistry, large: Lines) -> HealthServer:
    registry.register(large)
    return await serve(HttpAddress(0), Exposition(registry).answer, lambda: None, lambda: None)


def get(server: HealthServer, **headers: str) -> tuple[str, str | None, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    asked = urllib.request.Request(f"http://127.0.0.1:{server.port}/metrics", headers=named)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return answer.headers["Content-Type"], answer.headers["Content-Encoding"], answer.read()


def answering() -> set[threading.Thread]:
    """Return the threads that answer requests, of any server of this process."""
    return {each for each in threading.enumerate() if "process_request" in each.name}


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - another thread changes it
            await asyncio.sleep(0.01)


async def test_the_client_chooses_format_and_packing(registry: CollectorRegistry) -> None:
    server = await served(registry, Lines(100))
    kind, packing, plain = await asyncio.to_thread(get, server)
    assert (kind, packing) == ("text/plain; version=0.0.4; charset=utf-8", None)
    families = {f.name: f for f in text_string_to_metric_families(plain.decode())}
    assert set(families) == {"seen", "agents_created", "evolution_attempts", "agent_kpi_current"}
    assert len(families["evolution_attempts"].samples) == 100
    assert f"# HELP evolution_attempts_total {EVOLUTION_ATTEMPTS.help}\n".encode() in plain

    kind, packing, packed = await asyncio.to_thread(get, server, Accept_Encoding="deflate, gzip")
    assert packing == "gzip" and gzip.decompress(packed) == plain

    kind, packing, body = await asyncio.to_thread(get, server, Accept=OPENMETRICS, Accept_Encoding="gzip")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    text = gzip.decompress(body).decode()
    assert text.endswith("# EOF\n") and text.count("# EOF") == 1
    found = {f.name: f for f in parse_openmetrics(text)}
    assert set(found) == set(families)
    assert len(found["evolution_attempts"].samples) == 100
    await server.close()


async def test_a_prometheus_that_asks_for_protobuf_is_answered_in_openmetrics(
    registry: CollectorRegistry,
) -> None:
    server = await served(registry, Lines(1))
    protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
    kind, *_ = await asyncio.to_thread(get, server, Accept=f"{protobuf},{OPENMETRICS}")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    await server.close()


async def test_scrapes_are_made_one_after_the_other(registry: CollectorRegistry) -> None:
    lines = Lines(2000)
    server = await served(registry, lines)
    bodies = await asyncio.gather(*(asyncio.to_thread(get, server) for _ in range(4)))
    assert len({body for _, _, body in bodies}) == 1
    assert (lines.taken, lines.most_at_once) == (8000, 1)
    await server.close()


async def test_the_event_loop_may_be_blocked_meanwhile(registry: CollectorRegistry) -> None:
    server = await served(registry, Lines(10))
    found: list[bytes] = []
    asking = threading.Thread(target=lambda: found.append(get(server)[2]))
    asking.start()
    await asyncio.to_thread(lambda: None)
    asking.join(30)  # in the event loop
    assert found and b"seen_total 3.0" in found[0]
    await server.close()


async def test_a_scrape_that_was_given_up_does_no_more_work(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exposition, "WAIT_SECONDS", 0.01)
    endless = Lines(None)
    server = await served(registry, endless)
    others = set(threading.enumerate())
    clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
    for client in clients:
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
    await until(lambda: endless.taken > 10 and len(answering() - others) == 3)
    for client in clients:  # one has its turn, two wait for theirs
        client.close()
    await until(lambda: not answering() - others)
    assert not endless.at_once
    taken = endless.taken
    await asyncio.sleep(0.05)
    assert endless.taken == taken
    endless.number = 5
    assert b'agent_id="a5"' in (await asyncio.to_thread(get, server))[2]
    await server.close()
