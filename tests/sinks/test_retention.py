"""Rows past their time go, the sums of what happened stay, and how long is shown and set."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from evometrics.schemas.events import Event, EvolutionCompleted, now_micros
from evometrics.schemas.evolutions.outcome import evolution_metrics
from evometrics.schemas.metrics import OF_SINK, Instruments
from evometrics.schemas.service.settings import SettingsError
from evometrics.sinks.clickhouse.client import open_client
from evometrics.sinks.retention import TABLES, keep, show
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.batch import Batch, Partition
from evometrics.sinks.worker.writer import TableWriter
from tests.support.sinks import WIRE, common, rows, sent, store
from tests.support.stack import evometrics

DAY = 86_400_000_000
STATUSES = ("succeeded", "failed", "rolled_back")


def completions(rng: random.Random, count: int, ages: list[int]) -> list[EvolutionCompleted]:
    """Return evolutions of a few agents that ended so many days ago, give or take some hours."""
    now, found = now_micros(), []
    for number in range(count):
        ended = now - rng.choice(ages) * DAY - rng.randrange(DAY // 2)
        status = rng.choice(STATUSES)
        after = {"performance": rng.random()} if rng.random() < 0.8 else {}
        found.append(
            EvolutionCompleted(
                **{**common(f"agent-{rng.randrange(3)}"), "occurred_at": ended},
                evolution_id=f"e-{number}",
                started_at=ended - 60_000_000,
                evolution_type=rng.choice(["nightly", "triggered"]),
                strategy_used=rng.choice(["tune", "prune"]),
                pre_kpis={"performance": 0.5},
                post_kpis=after,
                success=status == "succeeded",
                status=status,
                duration_seconds=rng.uniform(1, 90),
                memory_used_mb=rng.uniform(100, 900),
                network_bytes_transferred=rng.randrange(10_000),
                error_count=rng.randrange(3),
                warning_count=rng.randrange(3),
            )
        )
    return found


async def stored(settings: ClickHouseSettings, events: list[Event]) -> None:
    """Store events as the sink does, each stamped with the time it happened at; some of them twice."""
    writer = TableWriter(settings, Instruments(CollectorRegistry(), OF_SINK))
    for first, several in ((0, events), (len(events), events[::3])):
        batch = Batch()
        for offset, event in enumerate(several, first):
            message = sent(event, offset=offset, timestamp=event.occurred_at // 1000)
            batch.add({Partition(message.topic, 0): [message]}, WIRE)
        for group in batch.groups.values():
            assert await store(writer, group) == []
    await writer.close()


async def merged(settings: ClickHouseSettings, table: str) -> None:
    """Have ClickHouse merge all parts of a table now, as it does by itself sooner or later."""
    client = await open_client(settings)
    await client.command(f"OPTIMIZE TABLE {table} FINAL")
    await client.close()


def sums(events: list[EvolutionCompleted], seconds: int) -> dict[tuple[object, ...], tuple[float, ...]]:
    """Return what evolutions come to by period, agent, type and strategy, counted one by one."""
    groups: dict[tuple[object, ...], list[EvolutionCompleted]] = defaultdict(list)
    for done in events:
        period = done.occurred_at // (seconds * 1_000_000) * seconds
        groups[period, done.agent_id, done.evolution_type, done.strategy_used].append(done)
    found = {}
    for key, several in groups.items():
        gains = [e.post_kpis["performance"] - 0.5 for e in several if e.post_kpis]
        found[key] = (
            len(several),
            sum(e.success for e in several),
            sum(e.status == "failed" for e in several),
            sum(e.status == "rolled_back" for e in several),
            sum(e.success for e in several) / len(several),
            sum(gains) / len(gains) if gains else -1.0,
            sum(gains),
            sum(e.duration_seconds for e in several) / 60,
            max(e.memory_used_mb for e in several),
            sum(e.network_bytes_transferred for e in several),
            sum(e.error_count for e in several),
            sum(e.warning_count for e in several),
        )
    return found


async def seen(
    settings: ClickHouseSettings, view: str, period: str
) -> dict[tuple[object, ...], tuple[float, ...]]:
    names = "agent_id, evolution_type, strategy_used, attempts, successes, failures, rollbacks, success_rate"
    figures = "ifNull(mean_improvement, -1), total_improvement, duration_minutes, memory_used_mb"
    counts = "network_bytes_transferred, errors, warnings"
    begin = f"toUnixTimestamp(toDateTime({period}, 'UTC'))"
    found = await rows(settings, f"SELECT {begin}, {names}, {figures}, {counts} FROM {view}")
    return {row[:4]: row[4:] for row in found}


async def test_rows_past_retention_are_gone_from_raw_and_the_sums_are_those_of_all(
    database: ClickHouseSettings,
) -> None:
    done = completions(random.Random(4), 300, [0, 1, 80, 100, 400])
    client = await open_client(database)
    await client.command("SYSTEM STOP MERGES evolution_metrics_rows")  # what appears twice stays so
    await client.close()
    await stored(database, [*done, *map(evolution_metrics, done)])
    assert await rows(database, "SELECT count() FROM evolution_metrics_rows") == [(400,)]
    await merged(database, "evolution_completed_rows")
    limit = now_micros() - 90 * DAY
    left = {str(event_id) for (event_id,) in await rows(database, "SELECT event_id FROM evolution_completed")}
    assert left == {e.event_id for e in done if e.occurred_at > limit}
    assert 50 < len(left) < 250
    for view, period, seconds in (("evolution_hourly", "hour", 3600), ("evolution_daily", "day", 86_400)):
        wanted, found = sums(done, seconds), await seen(database, view, period)
        assert found.keys() == wanted.keys()
        for key, figures in wanted.items():
            assert found[key] == pytest.approx(figures), (view, key)


async def test_what_tables_keep_is_shown_and_set(database: ClickHouseSettings) -> None:
    kept = {each.table: each for each in await show(database)}
    assert list(kept) == list(TABLES)
    assert {kept[t].days for t in ("evolution_completed", "kpi_snapshots", "system_events")} == {90}
    assert {kept[t].days for t in ("evolution_metrics", "kpi_deltas", "success_rates")} == {730}
    assert {(each.rows, each.expired, each.oldest) for each in kept.values()} == {(0, 0, None)}

    done = completions(random.Random(5), 60, [1, 20])
    await stored(database, list(done))
    await keep(database, "evolution_completed", 10)
    await merged(database, "evolution_completed_rows")
    kept = {each.table: each for each in await show(database)}
    held = kept["evolution_completed"]
    young = [e.occurred_at for e in done if e.occurred_at > now_micros() - 10 * DAY]
    assert (held.days, held.rows, held.expired) == (10, len(young), 0)
    assert held.oldest == datetime.fromtimestamp(min(young) // 1_000_000, UTC)
    assert held.bytes > 0

    for table, days, named in (("evolutions", 5, "evolution_started"), ("kpi_deltas", 0, "from 1 to")):
        with pytest.raises(SettingsError, match=named):
            await keep(database, table, days)


async def test_the_command_shows_sets_and_names_what_is_wrong(database: ClickHouseSettings) -> None:
    where = ("--clickhouse-url", database.url, "--database", database.database)
    said = await asyncio.to_thread(evometrics, "retention", "set", "evolution_metrics", "400", *where)
    assert said.returncode == 0, said.stderr
    assert "evolution_daily are computed from evolution_metrics" in said.stdout
    said = await asyncio.to_thread(evometrics, "retention", "show", "--json", *where)
    assert {each["table"]: each["days"] for each in json.loads(said.stdout)}["evolution_metrics"] == 400
    said = await asyncio.to_thread(evometrics, "retention", "set", "evolutions", "4", *where)
    assert said.returncode == 2
    assert "evolution_completed" in said.stderr
