"""`views`: what a view costs beside its storage table, statement by statement.

Rows of `evolution_metrics` lie in 13 months, inserted in blocks that each hold the whole year, a hundredth of
them for the second time: the worst that FINAL can meet. They are read as inserted (no merge has run), then as
merges leave them, then with a last day's rows in new parts on top, as a pipeline at work leaves them. Beside
the view stand its table, which shows an event as often as it is stored, and the view as it was before
migration 0012. They take turns, and each figure is the best of its turns: the others waited for something.
"""

from __future__ import annotations

import asyncio
import http.client
import re
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

from evometrics.schemas.topics import EVOLUTION_METRICS
from tests.benchmarks.checks import require
from tests.benchmarks.figures import report
from tests.benchmarks.say import say
from tests.benchmarks.settings import Settings
from tests.benchmarks.stack import ANSWER_SECONDS, Stack
from tests.benchmarks.watch import resident_mb

VIEW = EVOLUTION_METRICS.table
ROWS = f"{VIEW}_rows"
#: The view without the settings that 0012 gave it, and without the index.
BEFORE = f"{VIEW}_before"
#: Each is as many parts as there are months.
BLOCKS = 5
FRESH_BLOCKS = 4
TURNS = 5
LAST_DAY = "toDateTime64('2026-11-20 00:00:00', 6, 'UTC')"
AGENT = "agent-77"
#: Without what ClickHouse remembers of the same condition: it does of a table, and not under FINAL.
PARAMETERS = "database=evometrics&default_format=Native&use_query_condition_cache=0"
STATEMENTS = {
    "count()": "SELECT count() FROM {table}",
    "agent_id =": "SELECT count(), avg(improvement_delta) FROM {table} WHERE agent_id = '{agent}'",
    "one day": "SELECT count(), avg(improvement_delta) FROM {table} "
    "WHERE occurred_at >= '2026-05-10 00:00:00' AND occurred_at < '2026-05-11 00:00:00'",
    "group by strategy": "SELECT strategy_used, count(), avg(improvement_delta) FROM {table} "
    "GROUP BY strategy_used",
    "group by day": "SELECT toDate(occurred_at) AS day, count(), avg(improvement_delta) FROM {table} "
    "GROUP BY day",
    "last 100 by time": "SELECT agent_id, occurred_at, improvement_delta FROM {table} "
    "ORDER BY occurred_at DESC LIMIT 100",
    "last 10 of an agent": "SELECT * FROM {table} WHERE agent_id = '{agent}' "
    "ORDER BY occurred_at DESC LIMIT 10",
    "SELECT * LIMIT 10": "SELECT * FROM {table} LIMIT 10",
    "event_id =": "SELECT * FROM {table} WHERE event_id = '{event}'",
}


async def run(settings: Settings) -> dict[str, Any]:
    """Fill the table once and measure it in its three states."""
    count, rounds = settings.sized(events=2_000_000, quick_events=20_000, rounds=1)
    found: dict[str, Any] = {}
    async with Stack(settings.folder, with_kafka=False) as stack:
        await stack.sql(f"SYSTEM STOP MERGES {ROWS}")
        say(f"filling {ROWS} with {count:,} rows")
        for block in range(BLOCKS):
            await stack.sql(inserted(block, count // BLOCKS, settings.agents))
        await define_before(stack)
        found["unmerged"] = await measured(stack, rounds * TURNS)
        await stack.sql(f"SYSTEM START MERGES {ROWS}")
        await merge(stack)
        found["merged"] = await measured(stack, rounds * TURNS)
        await stack.sql(f"SYSTEM STOP MERGES {ROWS}")
        for block in range(FRESH_BLOCKS):
            await stack.sql(fresh(block, count // 400, settings.agents))
        found["at_work"] = await measured(stack, rounds * TURNS)
        size = await stack.sql(
            "SELECT sum(bytes_on_disk) / 1e6, sum(secondary_indices_compressed_bytes) / 1e6 "
            f"FROM system.parts WHERE active AND database = currentDatabase() AND table = '{ROWS}'"
        )
        memory = resident_mb(stack.pids("clickhouse"))
    disk = {"table_mb": float(size[0][0]), "indexes_mb": float(size[0][1])}
    return report(rows=count, agents=settings.agents, disk=disk, memory_mb=memory, **found)


async def merge(stack: Stack) -> None:
    """Merge every month into one part, one at a time: a request has its time."""
    months = await stack.sql(f"SELECT DISTINCT _partition_id FROM {ROWS}")
    for (month,) in months:
        await stack.sql(f"OPTIMIZE TABLE {ROWS} PARTITION ID '{month}' FINAL")


async def define_before(stack: Stack) -> None:
    """Make the view as it was before migration 0012."""
    (query,) = await stack.sql(f"SELECT as_select FROM system.tables WHERE name = '{VIEW}' FORMAT TSVRaw")
    plain, number = re.subn(r"\bSETTINGS .*", "SETTINGS use_skip_indexes = 0", query[0])
    require(number == 1, f"{VIEW} has no settings: {query[0]}")
    await stack.sql(f"CREATE OR REPLACE VIEW {BEFORE} AS {plain}")


async def measured(stack: Stack, turns: int) -> list[dict[str, Any]]:
    """Return each statement's times and ratios, once the view is known to show each event once."""
    (shown, ids, rows, parts) = (
        await stack.sql(
            f"SELECT (SELECT count() FROM {VIEW}), uniqExact(event_id), count(), uniqExact(_part) FROM {ROWS}"
        )
    )[0]
    require(shown == ids, f"{VIEW} shows {shown} rows of {ids} events")
    say(f"{rows} rows of {ids} events in {parts} parts")
    event = (await stack.sql(f"SELECT event_id FROM {ROWS} WHERE agent_id = '{AGENT}' LIMIT 1"))[0][0]
    names = {"view": VIEW, "table": ROWS, "before": BEFORE}
    found = []
    for words, statement in STATEMENTS.items():
        texts = {n: statement.format(table=t, agent=AGENT, event=event) for n, t in names.items()}
        best = await asyncio.to_thread(best_of, stack.clickhouse.url, texts, turns)
        row = {"statement": words, **{f"{name}_ms": best[name] for name in names}}
        row |= {"ratio": best["view"] / best["table"], "ratio_before": best["before"] / best["table"]}
        say(f"{words}: {best['view']:.1f} ms, {row['ratio']:.2f} times its table")
        found.append(row)
    return found


def best_of(url: str, texts: Mapping[str, str], turns: int) -> dict[str, float]:
    """Return the least time of each statement in milliseconds, after one turn that warms up; blocking."""
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=ANSWER_SECONDS)
    best: dict[str, float] = {}
    for turn in range(turns + 1):
        for name, text in texts.items():
            begun = time.perf_counter()
            connection.request("POST", f"/?{PARAMETERS}", body=text.encode())
            answer = connection.getresponse()
            body = answer.read()
            took = 1000 * (time.perf_counter() - begun)
            require(answer.status == 200, f"{text}: {body[:300]!r}")
            if turn:
                best[name] = min(best.get(name, took), took)
    connection.close()
    return best


def inserted(block: int, rows: int, agents: int) -> str:
    """Return the INSERT of one block over a year; a hundredth of it repeats rows of the block before."""
    again = f"number % 100 = 99 AND {block} > 0"
    number = f"if({again}, toInt64(number) + {(block - 1) * rows - 50}, toInt64(number) + {block * rows})"
    second = f"{LAST_DAY} - toIntervalMicrosecond(cityHash64(key, 2) % {365 * 86_400 * 1_000_000})"
    return insert_of(f"SELECT {number} AS key, {second} AS at FROM numbers({rows})", rows, agents)


def fresh(block: int, rows: int, agents: int) -> str:
    """Return the INSERT of new rows within the last day."""
    first = 1_000_000_000 + block * rows
    second = f"{LAST_DAY} + toIntervalMicrosecond(cityHash64(key, 2) % {86_400 * 1_000_000})"
    return insert_of(
        f"SELECT toInt64(number) + {first} AS key, {second} AS at FROM numbers({rows})", rows, agents
    )


def insert_of(source: str, rows: int, agents: int) -> str:
    """Return the INSERT of made up metrics for the keys and times of a query, as one block."""
    values = {
        "event_id": "toUUID(UUIDNumToString(sipHash128(key)))",
        "agent_id": f"concat('agent-', toString(cityHash64(key, 1) % {agents}))",
        "node_id": "concat('node-', toString(key % 20))",
        "occurred_at": "at",
        "source_event_id": "toUUID(UUIDNumToString(sipHash128(key, 1)))",
        "evolution_id": "concat('evolution-', toString(key))",
        "started_at": "at - 60",
        "evolution_type": "['nightly', 'triggered', 'emergency'][key % 3 + 1]",
        "generation": "key % 100",
        "strategy_used": "['mutation', 'crossover', 'gradient', 'distill'][cityHash64(key, 3) % 4 + 1]",
        "risk_level": "['low', 'medium', 'high'][key % 3 + 1]",
        "trigger_reason": "'schedule'",
        "status": "'succeeded'",
        "success": "true",
        "duration_minutes": "1 + key % 10",
        **{
            name: f"(cityHash64(key, '{name}') % 1000000) / 1000000"
            for name in (
                "performance_score",
                "baseline_performance",
                "improvement_delta",
                "relative_improvement",
                "quality_score",
                "efficiency",
            )
        },
        "kpi_deltas": "map('accuracy', improvement_delta, 'reliability', efficiency)",
        "memory_used_mb": "100 + key % 400",
        "cpu_percent_avg": "50",
        "network_bytes_transferred": "10000",
        "fitness_trajectory": "arrayMap(n -> (cityHash64(key, n) % 1000000) / 1000000, range(20))",
        "metadata": "map('model', 'm1')",
        "_partition": "key % 12",
        "_offset": "key",
        "_timestamp": "at",
    }
    selected = ", ".join(f"{value} AS {name}" for name, value in values.items())
    return (
        f"INSERT INTO {ROWS} ({', '.join(values)}) SELECT {selected} FROM ({source}) SETTINGS "
        f"max_threads = 1, max_block_size = {rows}, max_insert_block_size = {rows}, optimize_on_insert = 0, "
        f"min_insert_block_size_rows = {rows}, min_insert_block_size_bytes = 0, "
        "max_partitions_per_insert_block = 0, insert_deduplicate = 0"
    )
