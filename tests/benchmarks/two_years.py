"""Statements that fill ClickHouse with two years of a fleet, in minutes: its server makes the rows up itself.

Evolutions come in nights: four fifths of a day's within ten hours. Four in ten are of a fleet's own agents,
some of which evolve far more often than others; the others are of runs of frameworks: studies whose trials
have the study as their agent, and searches whose candidates are agents with parents, some with two. Once in
thirty nights a run has 10,000 candidates, each made from a kept one of the ten before it. Tables hold what
retention leaves of it: evolutions and KPI changes of two years; completions, snapshots, progress, dead
letters and what nodes report of 90 days. Months lie in one part each, as merges leave them, except the
last: most of it is one part, the last day several, and a hundredth of that is stored twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

DAYS, RAW_DAYS = 729, 89
NODES = 20
#: Nights between two of the long runs, and candidates of one.
EVERY_NIGHTS, LONG_RUN = 30, 10_000
#: The newest parts: the last day in so many.
FRESH_PARTS = 5


@dataclass(frozen=True, slots=True)
class TwoYears:
    """What is filled in.

    Attributes:
        evolutions: how many, at least 3,000.
        end: when the last of them ended, UTC.
    """

    evolutions: int
    end: datetime

    @property
    def per_day(self) -> int:
        """Evolutions of a day."""
        return self.evolutions // DAYS

    @property
    def long_run(self) -> int:
        """Candidates of a long run."""
        return min(LONG_RUN, self.per_day * 3 // 4)

    @property
    def begin(self) -> datetime:
        """When the first day begins."""
        return self.end - timedelta(days=DAYS)

    def statements(self) -> Iterator[tuple[str, str]]:
        """Yield each table's name with an INSERT into it, the oldest first."""
        last_day = self.per_day * (DAYS - 1)
        for since, until in self.months():
            first, after = self.numbers(since, until)
            within = f"toYYYYMM(occurred_at) = {since:%Y%m}"
            settled = (first, min(after, last_day), within)
            yield "evolution_metrics_rows", insert("evolution_metrics_rows", self.evolved(*settled), METRICS)
            yield "kpi_deltas_rows", insert("kpi_deltas_rows", self.evolved(*settled), DELTAS)
            kept = (max(first, self.per_day * (DAYS - RAW_DAYS)), *settled[1:])
            for table, columns in RAW.items() if kept[0] < kept[1] else ():
                yield table, insert(table, self.evolved(*kept), columns)
        size = self.per_day // FRESH_PARTS + 1
        for part in range(FRESH_PARTS):
            first = last_day + part * size
            # what the part before it holds as well
            again = size // 100 if part else 0
            source = self.evolved(first - again, min(first + size, self.per_day * DAYS), "1")
            for table, columns in EVERY.items():
                yield table, insert(table, source, columns)
        yield "system_events_rows", insert("system_events_rows", self.minutes(), SYSTEM_EVENTS)

    def months(self) -> Iterator[tuple[datetime, datetime]]:
        """Yield when each calendar month begins and ends."""
        since = self.begin.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        while since < self.end:
            until = (since + timedelta(days=32)).replace(day=1)
            yield since, until
            since = until

    def numbers(self, since: datetime, until: datetime) -> tuple[int, int]:
        """Return numbers that those of a span of time are among: its days', and a day's before."""
        first = max(0, (since - self.begin).days - 1)
        return first * self.per_day, min(DAYS, (until - self.begin).days + 1) * self.per_day

    def evolved(self, first: int, after: int, condition: str) -> str:
        """Return the query of what evolutions with numbers of a range have in common."""
        ms = int(self.begin.replace(tzinfo=UTC).timestamp() * 1000)
        return f"""(
SELECT *,
    multiIf(long, {LONG_RUN}, roll < 4, 5, 10) AS slots,
    multiIf(
        long, concat('shinka-night-', toString(day)), roll < 4, concat('night-', toString(day)),
        concat(kind, '-', toString(day), '-', toString(block))
    ) AS run,
    multiIf(
        long, 'shinka', roll < 4, '', roll < 7, concat('study-', toString(cityHash64(day, block) % 2000)),
        concat('gepa-', toString(cityHash64(day, block) % 400))
    ) AS family,
    multiIf(
        roll < 4 AND NOT long, concat('agent-', toString(toUInt32(pow(h % 1000003 / 1000003, 2) * 50000))),
        roll < 7 AND NOT long, family, concat(family, '/', toString(place))
    ) AS agent,
    if(
        (long OR roll >= 7) AND place > 2,
        arrayMap(
            back -> concat(family, '/', toString(place - back)),
            arraySlice(arrayFilter(
                back -> back <= place AND cityHash64(n - back * if(long, 1, 8), 3) % 1000 < 550,
                arrayMap(back -> back + 1 + h % 3, range(8))
            ), 1, if(h2 % 10 = 0, 2, 1))
        ),
        []
    ) AS parents,
    ['succeeded', 'rolled_back', 'rejected', 'failed', 'pruned', 'abandoned'][
        multiIf(outcome < 550, 1, outcome < 700, 2, outcome < 800, 3, outcome < 900, 4, outcome < 990, 5, 6)
    ] AS state,
    h % 65521 / 65521 AS share,
    0.4 + place / 40000 + share / 4 AS before,
    if(outcome < 550, 1, -1) * (h2 % 8191) / 81910 AS gain,
    state IN ('succeeded', 'rolled_back') AS scored,
    multiIf(long, 1 + h2 % 2, roll >= 7, 5 + h2 % 15, 60 + h2 % 1800) AS seconds
FROM
(
    SELECT *,
        i >= {self.per_day - self.long_run} AND day % {EVERY_NIGHTS} = {(DAYS - 1) % EVERY_NIGHTS} AS long,
        if(long, i - {self.per_day - self.long_run}, intDiv(i % 800, 8)) AS place,
        intDiv(i, 800) * 8 + i % 8 AS block,
        cityHash64(day, block, 'kind') % 10 AS roll,
        multiIf(long, 'shinka', roll < 4, 'nightly', roll < 7, 'optuna', 'gepa') AS kind,
        cityHash64(n) AS h,
        cityHash64(n, 2) AS h2,
        cityHash64(n, 3) % 1000 AS outcome,
        i / {self.per_day} AS part,
        fromUnixTimestamp64Micro(toInt64(
            ({ms} + day * 86400000
            + 1000 * if(part < 0.2, part / 0.2 * 50400, 50400 + (part - 0.2) / 0.8 * 36000)) * 1000
        ), 'UTC') AS occurred_at
    FROM
    (
        SELECT
            {first} + number AS n, intDiv(n, {self.per_day}) AS day, n % {self.per_day} AS i
        FROM numbers({max(0, after - first)})
    )
    WHERE {condition}
)
)"""

    def minutes(self) -> str:
        """Return the query of what every node reports each minute."""
        end = int(self.end.replace(tzinfo=UTC).timestamp())
        count = RAW_DAYS * 1440 * NODES if self.per_day >= LONG_RUN else 1440 * NODES
        return f"""(
SELECT number AS n, concat('node-', toString(n % {NODES})) AS node,
    fromUnixTimestamp64Micro(toInt64({end} - intDiv(n, {NODES}) * 60) * 1000000, 'UTC') AS occurred_at
FROM numbers({count})
)"""


def uuid(*parts: object) -> str:
    """Return the expression of an id that is made of others."""
    return f"toUUID(UUIDNumToString(sipHash128({', '.join(map(str, parts))})))"


EVENT = {
    "event_id": uuid("n", "'completed'"),
    "agent_id": "agent",
    "node_id": f"concat('node-', toString(h % {NODES}))",
    "occurred_at": "occurred_at",
}
STORED = {"_partition": "n % 12", "_offset": "n", "_timestamp": "occurred_at"}
ENDED = {
    "evolution_id": "concat(run, '/', toString(i))",
    "started_at": "occurred_at - toIntervalSecond(seconds)",
    "evolution_type": "kind",
    "generation": "intDiv(place, slots)",
    "strategy_used": "['mutation', 'crossover', 'merge', 'tpe', 'distill', 'prune', 'reflect'][h2 % 7 + 1]",
    "risk_level": "['low', 'medium', 'high'][h % 3 + 1]",
    "trigger_reason": "'schedule'",
    "success": "state = 'succeeded'",
    "status": "state",
    "error_count": "state = 'failed'",
    "memory_used_mb": "100 + h % 400",
    "cpu_percent_avg": "50",
    "network_bytes_transferred": "10000 + h % 100000",
    "fitness_trajectory": "arrayMap(step -> share * step / 20, range(20))",
    "metadata": "map('prompt', concat('v', toString(h % 100)))",
    "parent_agent_ids": "parents",
    "cost_usd": "if(kind = 'optuna' OR h % 20 = 0, NULL, h2 % 1000 / 10000)",
    "tokens_in": "if(kind = 'optuna', NULL, h2 % 20000)",
    "tokens_out": "if(kind = 'optuna', NULL, h2 % 3000)",
    "evaluations": "1 + h % 5",
    "model": "if(kind = 'optuna', NULL, ['model-large', 'model-small', 'model-open'][h % 3 + 1])",
    "run_id": "run",
}
METRICS = {
    **EVENT,
    "event_id": uuid("n", "'metrics'"),
    **ENDED,
    "source_event_id": EVENT["event_id"],
    "duration_minutes": "seconds / 60",
    "performance_score": "if(scored, before + gain, NULL)",
    "baseline_performance": "before",
    "improvement_delta": "if(scored, gain, NULL)",
    "relative_improvement": "if(scored, gain / before, NULL)",
    "quality_score": "if(scored, share, NULL)",
    "efficiency": "if(scored AND gain > 0, gain / seconds, 0)",
    "kpi_deltas": "if(scored, map('accuracy', gain, 'reliability', gain / 2), map())",
    **STORED,
}
DELTAS = {
    **EVENT,
    "event_id": uuid("n", "'delta'"),
    "snapshot_event_id": uuid("n", "'snapshot'"),
    "phase": "'post_evolution'",
    "overall_performance": "before + gain",
    "overall_delta": "gain",
    "deltas": "map('accuracy', gain, 'reliability', gain / 2)",
    "recommendation": "if(gain > 0, 'keep', 'evolve')",
    **STORED,
}
#: KPIs of completions and snapshots.
MEASURED = {
    "accuracy": "before",
    "reliability": "0.5 + share / 2",
    "consistency": "0.3 + share / 2",
    "response_time_ms": "100 + 400 * share",
}
BEFORE = ", ".join(f"'{name}', toFloat64({value})" for name, value in MEASURED.items())
AFTER = ", ".join(f"'{name}', toFloat64({value} * (1 + gain))" for name, value in MEASURED.items())
RAW = {
    "evolution_completed_rows": {
        **EVENT,
        **ENDED,
        "duration_seconds": "seconds",
        "pre_kpis": f"map({BEFORE})",
        "post_kpis": f"if(scored, map({AFTER}), map())",
        "insights": "if(state = 'failed', ['its tests failed'], ['kept its tools', 'shorter'])",
        "parent_agent_id": "if(empty(parents), NULL, parents[1])",
        "candidate": "if(kind = 'gepa', concat('You are a careful agent. ', repeat(toString(h), 20)), NULL)",
        **STORED,
    },
    "kpi_snapshots_rows": {
        **EVENT,
        "event_id": uuid("n", "'snapshot'"),
        "evolution_id": ENDED["evolution_id"],
        "phase": "'post_evolution'",
        **{name: f"{value} * (1 + gain)" for name, value in MEASURED.items()},
        "overall_performance": "before + gain",
        **STORED,
    },
    "evolution_progressed_rows": {
        **EVENT,
        "event_id": uuid("n", "'progress'"),
        "evolution_id": "run",
        "iteration": "intDiv(place, slots)",
        "fitness": "before + place / 20000",
        "mean": "before",
        **STORED,
    },
    "dead_letters_rows": {
        **EVENT,
        "event_id": uuid("n", "'dead'"),
        "source_topic": "'evometrics.evolution.completed'",
        "source_partition": "n % 12",
        "source_offset": "n",
        "stage": "'sink'",
        "reason": "['not Avro', 'unknown schema', 'too long'][h % 3 + 1]",
        "message_value": "repeat('x', 200)",
        **STORED,
    },
}
SYSTEM_EVENTS = {
    "event_id": uuid("n", "'system'"),
    "agent_id": "''",
    "node_id": "node",
    "occurred_at": "occurred_at",
    "event_type": "'collector_health'",
    "data": """concat('{"outbox_depth": ', toString(n % 7), ', "outbox_bytes": 4096, "shed": {}}')""",
    "_partition": "n % 12",
    "_offset": "n",
    "_timestamp": "occurred_at",
}
EVERY = {"evolution_metrics_rows": METRICS, "kpi_deltas_rows": DELTAS, **RAW}
#: Of completions, which ones the other raw tables have a row of.
SOME = {
    "evolution_completed_rows": "state != 'abandoned'",
    "kpi_snapshots_rows": "scored",
    "evolution_progressed_rows": "kind != 'nightly' AND place % slots = 0",
    "dead_letters_rows": "h % 1000 = 0",
}


def insert(table: str, source: str, columns: Mapping[str, str]) -> str:
    """Return the INSERT of a query's rows as one block."""
    selected = ", ".join(f"{value} AS `{name}`" for name, value in columns.items())
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {selected} FROM {source} "
        f"WHERE {SOME.get(table, '1')} SETTINGS "
        "max_threads = 1, max_block_size = 1000000, max_insert_block_size = 100000000, "
        "optimize_on_insert = 0, "
        "min_insert_block_size_rows = 100000000, min_insert_block_size_bytes = 100000000000, "
        "max_partitions_per_insert_block = 0, insert_deduplicate = 0"
    )
