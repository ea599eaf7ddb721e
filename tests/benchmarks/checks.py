"""Whether a contender has done the work: counts of what came out, and some of it compared value by value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from evometrics.schemas.events import Event, EvolutionMetrics, SuccessRate
from evometrics.schemas.evolutions.outcome import evolution_metrics
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_METRICS, SUCCESS_RATES
from evometrics.schemas.wire.catalog import newest
from evometrics.schemas.wire.framing import WireFormat
from evometrics.streams.formulas.calculations import wilson_interval
from evometrics.streams.formulas.windows import WINDOWS, Scope, Window
from tests.benchmarks.events import CHUNK, SECOND, Events
from tests.benchmarks.fill import StreamFill
from tests.support.tables import client, logical_type

#: How many events are compared value by value.
COMPARED = 50
#: How many agents' rates are looked at.
AGENTS = 5


class WorkNotDone(AssertionError):
    """A contender's output is not what its input leads to: its speed means nothing."""


def require(holds: bool, words: str) -> None:
    """Raise `WorkNotDone` unless what must hold does."""
    if not holds:
        raise WorkNotDone(words)


class Expected:
    """What success rates must come of completions 0 up to but without `count`."""

    def __init__(self, events: Events, count: int) -> None:
        facts = [events.facts(chunk) for chunk in range(-(-count // CHUNK))]
        self.at, self.agent, self.template = (
            np.concatenate(column)[:count] for column in zip(*facts, strict=True)
        )
        self.events = events
        self.success = np.array([kind.event.success for kind in events.templates])[self.template]

    def chosen(self, scope: Scope) -> Any:
        """Return which completions count in a scope, as an array of truth."""
        if scope.kind == "agent":
            return self.agent == self.events.names.index(scope.value.encode())
        if scope.kind == "node":
            return self.agent % len(self.events.nodes) == self.events.nodes.index(scope.value)
        fields = {"strategy": "strategy_used", "evolution_type": "evolution_type"}
        if scope.kind in fields:
            kinds = [getattr(kind.event, fields[scope.kind]) == scope.value for kind in self.events.templates]
            return np.array(kinds)[self.template]
        return np.ones(len(self.at), dtype=bool)

    def newest(self, scope: Scope, window: Window) -> tuple[int, int, int]:
        """Return end (microseconds), attempts and successes of a scope's newest window."""
        mine = self.chosen(scope)
        steps = self.at[mine] // (window.step_seconds * SECOND)
        inside = steps > steps.max() - window.steps
        end = (int(steps.max()) + 1) * window.step_seconds * SECOND
        return end, int(inside.sum()), int(self.success[mine][inside].sum())

    def scopes(self) -> list[Scope]:
        """Return scopes of every kind."""
        kinds = [kind.event for kind in self.events.templates]
        found = [Scope("fleet", "all"), Scope("node", self.events.nodes[0])]
        found += [Scope("strategy", name) for name in sorted({e.strategy_used for e in kinds})]
        found += [Scope("evolution_type", name) for name in sorted({e.evolution_type for e in kinds})]
        agents = sorted({int(n) for n in self.agent[-AGENTS:]})
        return found + [Scope("agent", self.events.names[n].decode()) for n in agents]


async def check_stream(
    kafka: KafkaSettings, events: Events, fill: StreamFill, counts: tuple[int, ...]
) -> None:
    """Check the topics of metrics and rates. Raises `WorkNotDone`.

    `counts` are the messages in both; a duplicate that was not caught, an abandoned evolution that was
    not reported and an event that was lost show there.
    """
    require(counts[0] == fill.metrics, f"{counts[0]} messages of metrics, not {fill.metrics}")
    wanted = {done.event_id: evolution_metrics(done) for done in events.completed(0, COMPARED)}
    begin = await messages(kafka, EVOLUTION_METRICS.name, first=2 * CHUNK)
    found = {e.source_event_id: e for e in begin if isinstance(e, EvolutionMetrics)}
    for event_id, metrics in wanted.items():
        require(
            found.get(event_id) == metrics, f"metrics of {event_id}: {found.get(event_id)}, not {metrics}"
        )
    expected = Expected(events, fill.completed)
    check_rates(await rates_of(kafka, expected), expected)


def check_rates(rates: Iterable[SuccessRate], expected: Expected) -> None:
    """Check the newest windows of some scopes of every kind. Raises `WorkNotDone`."""
    final: dict[tuple[str, str, int, int], SuccessRate] = {}
    for rate in rates:
        place = (rate.scope, rate.scope_value, rate.window_seconds, rate.window_end)
        if place not in final or final[place].version < rate.version:
            final[place] = rate
    for scope in expected.scopes():
        for window in WINDOWS:
            end, attempts, successes = expected.newest(scope, window)
            rate = final.get((scope.kind, scope.value, window.seconds, end))  # type: ignore[assignment]
            seen = (rate.attempts, rate.successes, rate.wilson_low, rate.wilson_high) if rate else None
            right = (attempts, successes, *wilson_interval(successes, attempts))
            require(seen == right, f"{scope.key}, {window.seconds} s up to {end}: {seen}, not {right}")


async def rates_of(kafka: KafkaSettings, expected: Expected) -> list[SuccessRate]:
    """Return every message of the scopes that are looked at."""
    keys = {scope.value if scope.kind == "agent" else scope.key for scope in expected.scopes()}
    found = await messages(kafka, SUCCESS_RATES.name, keys={key.encode() for key in keys})
    return [rate for rate in found if isinstance(rate, SuccessRate)]


async def messages(
    kafka: KafkaSettings, topic: str, *, first: int | None = None, keys: set[bytes] | None = None
) -> list[Event]:
    """Return decoded events: the `first` of each partition, or all; of certain keys, or of any."""
    wire, found = WireFormat(), []
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.brokers, group_id=None, max_partition_fetch_bytes=8_000_000
    )
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(kafka.partitions)]
        ends = await consumer.end_offsets(places)
        for place in places:
            consumer.assign([place])
            consumer.seek(place, 0)
            end = ends[place] if first is None else min(ends[place], first)
            while await consumer.position(place) < end:
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    chosen = (r for r in records if r.offset < end and (keys is None or r.key in keys))
                    found += [wire.decode(record.value) for record in chosen]
    finally:
        await consumer.stop()
    return found


def check_table(url: str, events: Events, count: int, twice: int = 0) -> None:
    """Check the stored completions 0 up to but without `count`; `twice` more messages held one again.

    Every message once, by its place in Kafka, every event id, and some rows compared value by value.
    Raises `WorkNotDone`.
    """
    table = f"{EVOLUTION_COMPLETED.table}_rows"
    with client(url) as sql:
        query = f"SELECT uniqExact(event_id), uniqExact(_partition, _offset), count() FROM {table}"
        ids_found, places, rows_found = sql.query(query).result_rows[0]
        # where an event was sent twice, a merge of the table's parts may have left one row of the two
        right = ids_found == count and count <= places == rows_found <= count + twice
        require(right, f"{ids_found} ids, {places} offsets, {rows_found} rows in {table}, not {count}")
        wanted = {done.event_id: done.to_record() for done in events.completed(count - COMPARED, COMPARED)}
        fields = newest("evolution_completed").source["fields"]
        shown = {"uuid": "toString({})", "timestamp-micros": "toUnixTimestamp64Micro({})"}
        columns = [shown.get(logical_type(f["type"]) or "", "{}").format(f["name"]) for f in fields]
        ids = ", ".join(f"'{event_id}'" for event_id in wanted)
        rows = sql.query(f"SELECT {', '.join(columns)} FROM {table} WHERE event_id IN ({ids})").result_rows
    names = [field["name"] for field in fields]
    found: Mapping[str, dict[str, Any]] = {r[0]: dict(zip(names, r, strict=True)) for r in rows}
    for event_id, record in wanted.items():
        require(found.get(event_id) == record, f"{event_id}: {found.get(event_id)} is stored, not {record}")
