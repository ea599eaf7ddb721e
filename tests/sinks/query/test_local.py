"""The four questions have one answer, whether ClickHouse gives it or a node's own history."""

from __future__ import annotations

import asyncio
import math
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from evometrics.producers import EvolutionMetricsCollector, LocalMetricsQuery, SQLiteMetricsBackend
from evometrics.producers.events.evolution_events import EvolutionCompletionEvent, EvolutionEvent
from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionMetrics, EvolutionStarted
from evometrics.schemas.evolutions.joining import metrics_of
from evometrics.schemas.evolutions.outcome import ABANDONED_AFTER_SECONDS, abandoned_metrics
from evometrics.schemas.history.file import HistoryError, open_to_read
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.metrics import OF_SINK, Instruments
from evometrics.schemas.topics import EVOLUTION_METRICS
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.batch import Batch, Partition
from evometrics.sinks.worker.writer import TableWriter
from tests.support.influxdb import completion
from tests.support.sinks import WIRE, sent, store

EVOLUTIONS = 1000
AGENTS = [f"agent-{i}" for i in range(7)]
HOUR = 3600.0


async def record(path: Path, rng: random.Random) -> None:
    """Record evolutions of all kinds over three days, many of one agent in the same second."""
    collector = EvolutionMetricsCollector({"db_path": str(path), "node_id": "node-1"})
    await collector.start()
    begin = math.floor(time.time()) - 72 * HOUR
    recorded: list[tuple[EvolutionEvent, EvolutionCompletionEvent | None]] = []
    for number in range(EVOLUTIONS):
        agent, at = rng.choice(AGENTS), begin + rng.randrange(0, 259_000, 600)
        before = {"accuracy": rng.random()} if rng.random() < 0.9 else {}
        after = {"accuracy": rng.random(), "output_quality": rng.random()} if rng.random() < 0.9 else {}
        kind, name = rng.choice(["nightly", "triggered"]), f"{agent}-{number}"
        begun = EvolutionEvent(
            agent_id=agent, evolution_id=name, evolution_type=kind, timestamp=at, pre_evolution_kpis=before
        )
        if rng.random() < 0.1:
            recorded.append((begun, None))  # nobody hears of it again
            continue
        done = EvolutionCompletionEvent(
            agent_id=agent,
            evolution_id=name,
            success=rng.random() < 0.6,
            timestamp=at + rng.choice([1, 1, 60]),
            post_evolution_kpis=after,
            fitness_trajectory=[rng.random() for _ in range(rng.randrange(4))],
            metadata={"größe": 'a "b"\n'},
            insights=["error: one", "warning: two"],
        )
        recorded.append((begun, done))

    async def one(begun: EvolutionEvent, done: EvolutionCompletionEvent | None) -> None:
        await collector.record_evolution_start(begun)
        if done is not None:
            await collector.record_evolution_completion(done)

    await asyncio.gather(*(one(*each) for each in recorded))
    await collector.stop()
    # What another process has recorded: it knew neither what was before, nor its resources.
    backend = SQLiteMetricsBackend(path)
    unknown = ["memory_used_mb", "cpu_percent_avg", "network_bytes_transferred", "duration_seconds"]
    for number in range(40):
        agent, at = rng.choice(AGENTS), math.floor(1e6 * (begin + 7200 * number))
        start = EvolutionStarted(
            event_id=new_event_id(),
            agent_id=agent,
            node_id="node-2",
            occurred_at=at,
            evolution_id=f"far-{number}",
            strategy="tune",
            pre_kpis={"performance": rng.random()},
        )
        done = completion(number, agent_id=agent, evolution_id=f"far-{number}", pre_kpis={})
        done.occurred_at = done.started_at = at + 60_000_000
        done.unmeasured = rng.sample(unknown, rng.randrange(4))
        both = [start, done]
        for event in both if number % 2 else reversed(both):
            backend.store([event])
    backend.close()


def derived(path: Path) -> list[EvolutionMetrics]:
    """Return what the stream makes of the events in a history."""
    db = open_to_read(path)
    events: list[Event] = [WIRE.decode(value) for (value,) in db.execute("SELECT value FROM events")]
    db.close()
    done = [e for e in events if isinstance(e, EvolutionCompleted)]
    ended, limit = {e.evolution_id for e in done}, ABANDONED_AFTER_SECONDS * 1_000_000
    silent = [e for e in events if isinstance(e, EvolutionStarted) and e.evolution_id not in ended]
    late = [e for e in silent if e.occurred_at + limit <= time.time() * 1e6]
    assert 20 < len(late) < len(silent)
    starts = {e.evolution_id: e for e in events if isinstance(e, EvolutionStarted)}
    rows = [metrics_of(e, starts.get(e.evolution_id)) for e in done]
    assert any(row.version for row in rows) and any(row.unmeasured for row in rows)
    return rows + [abandoned_metrics(e, limit) for e in late]


async def fill(database: ClickHouseSettings, rows: list[EvolutionMetrics]) -> None:
    batch = Batch()
    batch.add({Partition(EVOLUTION_METRICS.name, 0): [sent(e, 0, n) for n, e in enumerate(rows)]}, WIRE)
    writer = TableWriter(database, Instruments(CollectorRegistry(), OF_SINK))
    for group in batch.groups.values():
        assert await store(writer, group) == []
    await writer.close()


async def test_a_nodes_history_and_clickhouse_answer_alike(
    database: ClickHouseSettings, tmp_path: Path
) -> None:
    path = tmp_path / "evolution_metrics.db"
    rng = random.Random(11)
    await record(path, rng)
    rows = derived(path)
    rng.shuffle(rows)
    await fill(database, rows)
    async with MetricsQuery(database) as far, MetricsQuery.local(path) as near:

        async def both(call: str, *arguments: Any) -> Any:
            answers = [await getattr(query, call)(*arguments) for query in (far, near)]
            if isinstance(answers[0], float) and math.isnan(answers[0]):
                assert math.isnan(answers[1])
            else:
                assert answers[1] == answers[0], arguments
            return answers[0]

        now = time.time()
        for agent in (*AGENTS, "nobody", "agent-1' OR 1=1 --"):
            whole = await both("get_agent_evolution_history", agent)
            assert len({e.occurred_at for e in whole}) < len(whole) or agent not in AGENTS
            some = [e.occurred_at / 1e6 for e in whole] or [1.0]
            for start, end in ((some[0], some[-1]), (None, some[len(some) // 2]), (now - 24 * HOUR, None)):
                await both("get_agent_evolution_history", agent, start, end)
            for kind in (None, "nightly", "none"):
                await both("get_evolution_success_rate", agent, kind)
            for metric in ("memory_used_mb", "cpu_percent_avg", "gpu_memory_mb", "duration_minutes"):
                await both("get_resource_usage_trends", agent, metric)
            await both("get_resource_usage_trends", agent, "network_bytes_transferred")
        assert not math.isnan(await both("get_evolution_success_rate"))
        for limit, hours in ((1, 24), (10, 24), (10_000, 80), (50, 1)):
            await both("get_top_performing_evolutions", limit, hours)
        assert len(await both("get_top_performing_evolutions", 10_000, 80)) > 400


async def test_what_cant_be_right_is_named_as_by_clickhouse(tmp_path: Path) -> None:
    query = LocalMetricsQuery(tmp_path / "none.db")
    with pytest.raises(ValueError, match=r"metric 'memory'.*memory_used_mb"):
        await query.get_resource_usage_trends("a", "memory")
    with pytest.raises(ValueError, match="limit 0"):
        await query.get_top_performing_evolutions(0)
    with pytest.raises(ValueError, match=r"start_time 20.* is after end_time 10"):
        await query.get_agent_evolution_history("a", 20.0, 10.0)
    with pytest.raises(HistoryError, match=r"none\.db: there is no history"):
        await query.get_evolution_success_rate()
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("call", "arguments", "words"),
    [
        ("get_agent_evolution_history", ("a", datetime.now(UTC)), r"start_time datetime.*timestamp\(\)"),
        ("get_agent_evolution_history", ("a", None, "2026-11-01"), "end_time '2026-11-01'"),
        ("get_agent_evolution_history", (7,), "agent_id 7"),
        ("get_top_performing_evolutions", ("10",), "limit '10'"),
        ("get_top_performing_evolutions", (1.5,), "limit 1.5"),
        ("get_top_performing_evolutions", (2**63,), "limit 9223372036854775808"),
        ("get_top_performing_evolutions", (1, timedelta(hours=1)), "time_window_hours datetime"),
        ("get_top_performing_evolutions", (1, math.nan), "time_window_hours nan"),
        ("get_evolution_success_rate", (None, 3), "evolution_type 3"),
        ("get_resource_usage_trends", ("a", ["memory_used_mb"]), r"metric \['memory_used_mb'\]"),
        ("get_resource_usage_trends", (None,), "agent_id None"),
    ],
)
async def test_an_argument_of_another_type_is_named(
    call: str, arguments: tuple[Any, ...], words: str, tmp_path: Path
) -> None:
    nowhere = MetricsQuery(ClickHouseSettings(url="http://127.0.0.1:9"))
    for query in (nowhere, LocalMetricsQuery(tmp_path / "none.db")):
        with pytest.raises(ValueError, match=words):
            await getattr(query, call)(*arguments)
