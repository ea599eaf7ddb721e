"""MetricsQuery beside plain Python over the same evolutions."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from prometheus_client import CollectorRegistry

from evometrics.schemas.events import EvolutionMetrics, now_micros
from evometrics.schemas.metrics import OF_SINK, Instruments
from evometrics.schemas.service.settings import SettingsError, read_settings
from evometrics.schemas.topics import EVOLUTION_METRICS
from evometrics.sinks.clickhouse.client import ClickHouseUnavailable
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.batch import Batch, Partition
from evometrics.sinks.worker.writer import TableWriter
from tests.support.sinks import WIRE, evolution, sent, store

HOUR = 3_600_000_000


@pytest.fixture
async def stored(database: ClickHouseSettings) -> list[EvolutionMetrics]:
    """120 evolutions of five agents over three days, a third of them stored twice."""
    rng, now = random.Random(7), now_micros()
    made = []
    for i in range(120):
        status = rng.choice(["succeeded", "succeeded", "failed", "rolled_back", "abandoned"])
        made.append(
            evolution(
                f"agent-{i % 5}",
                occurred_at=now - i * HOUR * 72 // 120,
                evolution_type=rng.choice(["nightly", "triggered"]),
                status=status,
                success=status == "succeeded",
                performance_score=None if i % 11 == 0 else rng.random(),
                memory_used_mb=None if status == "abandoned" else rng.uniform(100, 200),
            )
        )
    rng.shuffle(made)
    batch = Batch()
    messages = [sent(e, 0, offset) for offset, e in enumerate([*made, *made[:40]])]
    batch.add({Partition(EVOLUTION_METRICS.name, 0): messages[:120]}, WIRE)
    again = Batch()
    again.add({Partition(EVOLUTION_METRICS.name, 0): messages[120:]}, WIRE)
    writer = TableWriter(database, Instruments(CollectorRegistry(), OF_SINK))
    for part in (batch, again):
        for group in part.groups.values():
            assert await store(writer, group) == []
    await writer.close()
    return made


async def test_history_is_the_agents_evolutions_in_order(
    database: ClickHouseSettings, stored: list[EvolutionMetrics]
) -> None:
    own = sorted((e for e in stored if e.agent_id == "agent-2"), key=lambda e: e.occurred_at)
    async with MetricsQuery(database) as query:
        assert await query.get_agent_evolution_history("agent-2") == own
        start, end = own[5].occurred_at / 1e6, own[12].occurred_at / 1e6
        assert await query.get_agent_evolution_history("agent-2", start, end) == own[5:13]
        assert await query.get_agent_evolution_history("agent-2", start_time=start) == own[5:]
        assert await query.get_agent_evolution_history("agent-2' OR 1=1 --") == []


async def test_top_evolutions_are_those_with_the_highest_score_in_the_window(
    database: ClickHouseSettings, stored: list[EvolutionMetrics]
) -> None:
    since = now_micros() - 24 * HOUR
    known = [e for e in stored if e.performance_score is not None and e.occurred_at >= since]
    best = sorted(known, key=lambda e: e.performance_score or 0, reverse=True)
    async with MetricsQuery(database) as query:
        assert await query.get_top_performing_evolutions() == best[:10]
        assert len(await query.get_top_performing_evolutions(1000, 24 * 365)) == sum(
            e.performance_score is not None for e in stored
        )


async def test_success_rate_leaves_abandoned_evolutions_out(
    database: ClickHouseSettings, stored: list[EvolutionMetrics]
) -> None:
    def rate(agent: str | None, kind: str | None) -> float:
        counted = [
            e.success
            for e in stored
            if e.status != "abandoned" and agent in (None, e.agent_id) and kind in (None, e.evolution_type)
        ]
        return sum(counted) / len(counted)

    async with MetricsQuery(database) as query:
        for agent in (None, "agent-0", "agent-4"):
            for kind in (None, "nightly", "triggered"):
                got = await query.get_evolution_success_rate(agent, kind)
                assert isinstance(got, float) and got == pytest.approx(rate(agent, kind))
        assert math.isnan(await query.get_evolution_success_rate("nobody"))


async def test_trends_hold_the_points_and_their_figures(
    database: ClickHouseSettings, stored: list[EvolutionMetrics]
) -> None:
    own = sorted(
        (e for e in stored if e.agent_id == "agent-1" and e.memory_used_mb is not None),
        key=lambda e: e.occurred_at,
    )
    values = [e.memory_used_mb or 0.0 for e in own]
    days = [e.occurred_at / 86_400e6 for e in own]
    async with MetricsQuery(database) as query:
        got = await query.get_resource_usage_trends("agent-1")
        assert [p["value"] for p in got["points"]] == values
        assert [p["timestamp"] for p in got["points"]] == [e.occurred_at / 1e6 for e in own]
        assert (got["count"], got["first"], got["last"]) == (len(values), values[0], values[-1])
        assert (got["min"], got["max"]) == (min(values), max(values))
        assert got["mean"] == pytest.approx(statistics.fmean(values))
        fit = statistics.linear_regression([d - days[0] for d in days], values)
        assert got["slope_per_day"] == pytest.approx(fit.slope, rel=1e-6)
        nothing = await query.get_resource_usage_trends("nobody", "cpu_percent_avg")
        assert nothing["points"] == [] and nothing["mean"] is None and nothing["slope_per_day"] is None


async def test_what_cant_be_right_is_named(database: ClickHouseSettings) -> None:
    async with MetricsQuery(database) as query:
        with pytest.raises(ValueError, match=r"metric 'memory'.*memory_used_mb"):
            await query.get_resource_usage_trends("agent-1", "memory")
        with pytest.raises(ValueError, match="limit 0"):
            await query.get_top_performing_evolutions(0)
        with pytest.raises(ValueError, match="time_window_hours -1"):
            await query.get_top_performing_evolutions(5, -1)
        with pytest.raises(ValueError, match="agent_id ''"):
            await query.get_agent_evolution_history("")
        with pytest.raises(ValueError, match=r"start_time 20.* is after end_time 10"):
            await query.get_agent_evolution_history("a", 20.0, 10.0)
        with pytest.raises(ValueError, match="start_time nan"):
            await query.get_agent_evolution_history("a", math.nan)
    with pytest.raises(ClickHouseUnavailable, match=r"http://127\.0\.0\.1:9: start it"):
        await MetricsQuery(ClickHouseSettings(url="http://127.0.0.1:9")).get_evolution_success_rate()


def test_settings_that_cant_be_right_are_named() -> None:
    for url in ("localhost:8123", "http://", "tcp://h:9000", "http://h:0", "http://h:port"):
        with pytest.raises(SettingsError, match="url="):
            ClickHouseSettings(url=url)
    with pytest.raises(SettingsError, match="database="):
        read_settings(ClickHouseSettings, "clickhouse", environ={"EVOMETRICS_CLICKHOUSE_DATABASE": "a;b"})
