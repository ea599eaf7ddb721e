"""What `/metrics` says of evolutions and agents is what SQL says of the same run."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import sys
import urllib.request
from importlib.metadata import version
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from evometrics.schemas.events import Event, KpiSnapshot
from evometrics.schemas.metrics import (
    DURATION,
    EVOLUTION_DURATION,
    IMPROVEMENT,
    MEMORY,
    METRICS,
    OF_STREAMS,
    Instruments,
)
from evometrics.schemas.service.beginnings import Beginnings
from evometrics.schemas.service.exposition import Exposition
from evometrics.schemas.service.health import HealthSettings, Watchdog
from evometrics.schemas.service.http import PLAIN_TEXT, HttpAddress, Response, serve
from evometrics.schemas.service.process import show_process
from evometrics.schemas.topics import BY_RECORD, TOPICS
from evometrics.schemas.wire.catalog import newest
from evometrics.schemas.wire.framing import SINGLE_OBJECT_LENGTH, WireFormat
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.batch import InsertGroup, InsertRow
from evometrics.sinks.worker.metrics import StoredMetrics
from evometrics.sinks.worker.tally import EndedEvolution, MetricsTally, SeenIds, read_ended
from evometrics.sinks.worker.totals import ENDINGS, MOST_TYPES, OTHER
from evometrics.sinks.worker.worker import SinkWorker
from evometrics.streams.offline import record_of
from tests.support.sinks import Kafka, common, eventually, evolution, rows, running, until_stored

WIRE = WireFormat()


def samples(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return a scrape's values by name and label values (in the order of the label names)."""
    return {
        (s.name, tuple(v for _, v in sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def events() -> list[Event]:
    made: list[Event] = []
    for i in range(60):
        agent, status = f"agent-{i % 7}", ("succeeded", "failed", "rolled_back", "abandoned")[i % 4]
        fields = common(agent) | {"occurred_at": 1_790_000_000_000_000 + (i * 7919) % 60 * 1_000_000}
        gone = status == "abandoned"
        made.append(
            evolution(
                agent,
                **fields,
                evolution_type=("nightly", "triggered")[i % 2],
                status=status,
                success=status == "succeeded",
                duration_minutes=i * 2.0,
                improvement_delta=None if i % 5 == 0 else i / 100,
                memory_used_mb=None if gone else 100.0 + i,
            )
        )
        made.append(KpiSnapshot(**fields | common(agent), accuracy=i / 60, extra={"own": float(i)}))
        made.append(KpiSnapshot(**common(agent) | {"occurred_at": 5}, accuracy=0.0, reliability=0.1))
    return made


async def test_metrics_equal_sql_with_duplicates_in_and_between_batches(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    made = events()
    async with running(broker, database) as worker:
        await broker.send([*made, *made[:30]])
        await until_stored(database, "evolution_metrics", 60)
        await broker.send([*made[20:50], evolution("agent-8", duration_minutes=1.0)])
        await until_stored(database, "evolution_metrics", 61)
        await until_stored(database, "kpi_snapshots", 120)

        async def counted() -> bool:  # the counting follows the insert
            got = samples(worker.exposition.text())
            attempts = sum(v for k, v in got.items() if k[0] == "evolution_attempts_total")
            read = sum(v for k, v in got.items() if k[0] == "evometrics_rows_inserted_total")
            return attempts >= 61 and read == len(made) + 30 + 31

        await eventually(counted, "all evolutions to be counted")
        text = worker.exposition.text()
    got = samples(text)

    attempts = await rows(
        database, "SELECT agent_id, evolution_type, status, count() FROM evolution_metrics GROUP BY ALL"
    )
    assert {k[1]: v for k, v in got.items() if k[0] == "evolution_attempts_total"} == {
        row[:3]: row[3] for row in attempts
    }
    totals: dict[tuple[str, ...], int] = {}
    for _, kind, status, number in attempts:
        totals[kind, status] = totals.get((kind, status), 0) + number
    assert {k[1]: v for k, v in got.items() if k[0] == "evometrics_evolution_attempts_total"} == {
        (kind, status): totals.get((kind, status), 0)
        for kind in ("nightly", "triggered")
        for status in ENDINGS
    }
    durations = await rows(
        database,
        "SELECT agent_id, evolution_type, groupArray(duration_minutes * 60) FROM evolution_metrics "
        "WHERE status != 'abandoned' GROUP BY ALL",
    )
    for agent, kind, seconds in durations:
        assert got["evolution_duration_seconds_count", (agent, kind)] == len(seconds)
        assert got["evolution_duration_seconds_sum", (agent, kind)] == pytest.approx(sum(seconds))
        for bound in EVOLUTION_DURATION.buckets:
            below = sum(s <= bound for s in seconds)
            assert got["evolution_duration_seconds_bucket", (agent, kind, str(float(bound)))] == below
    for metric, column in (
        ("evolution_performance_improvement", "improvement_delta"),
        ("evolution_memory_used_mb", "memory_used_mb"),
    ):
        newest = await rows(
            database,
            f"SELECT agent_id, argMax({column}, (occurred_at, toString(event_id))) FROM evolution_metrics "
            f"WHERE {column} IS NOT NULL GROUP BY agent_id",
        )
        assert {k[1][0]: v for k, v in got.items() if k[0] == metric} == dict(newest)
    kpis = await rows(
        database,
        "SELECT agent_id, argMax((accuracy, extra['own']), occurred_at) FROM kpi_snapshots GROUP BY agent_id",
    )
    expected = {(a, "accuracy"): acc for a, (acc, _) in kpis} | {(a, "own"): own for a, (_, own) in kpis}
    assert {k[1]: v for k, v in got.items() if k[0] == "agent_kpi_current"} == expected

    sent = len(made) + 30 + 31
    assert sum(v for k, v in got.items() if k[0] == "evometrics_messages_consumed_total") == sent
    assert sum(v for k, v in got.items() if k[0] == "evometrics_rows_inserted_total") == sent
    assert got["evometrics_insert_seconds_count", ("evolution_metrics",)] >= 2


def test_every_declared_metric_is_served_by_its_part(broker: Kafka, database: ClickHouseSettings) -> None:
    registry = CollectorRegistry()
    Instruments(registry, OF_STREAMS)
    sink = SinkWorker(broker.settings, database, broker.sink)
    served = sink.exposition.text() + Exposition(registry).text()
    for definition in METRICS:
        name = definition.name
        assert f"# HELP {name} {definition.help}" in served, name
        assert f"# TYPE {name} {definition.kind}" in served, name


def test_a_sink_that_has_read_nothing_has_its_counters_at_0(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    found = samples(SinkWorker(broker.settings, database, broker.sink).exposition.text())
    for topic in TOPICS:
        assert found["evometrics_dead_letters_total", ("sink", topic.name)] == 0
        assert found["evometrics_offsets_gone_total", (topic.name,)] == 0
        assert found["evometrics_insert_retries_total", (topic.table,)] == 0
        assert found["evometrics_insert_seconds_count", (topic.table,)] == 0
    assert found["evometrics_rebalances_total", ()] == found["evometrics_publish_errors_total", ()] == 0


async def test_a_worker_says_what_it_is_and_whether_it_is_ready(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    worker = SinkWorker(broker.settings, database, broker.sink)
    watchdog = Watchdog("sink", HealthSettings(), worker.look)
    show_process(worker.registry, worker.instruments, "sink", worker.ready, watchdog)
    watchdog.stuck.seconds = 7.5
    found = samples(worker.exposition.text())
    assert found["evometrics_stuck_seconds", ()] == 7.5
    assert found["evometrics_ready", ()] == 0
    assert found["evometrics_build_info", ("sink", version("evometrics"))] == 1
    if sys.platform == "linux":
        assert found["process_resident_memory_bytes", ()] > 1e6


def group(record: str, *values: bytes) -> InsertGroup:
    topic = BY_RECORD[record]
    made = InsertGroup(topic.name, topic.table, newest(record))
    for offset, value in enumerate(values):
        message = record_of(topic.name, 0, offset, b"k", value, 0)
        made.rows.append(InsertRow(value, SINGLE_OBJECT_LENGTH, message))
    return made


def text_of(agents: StoredMetrics) -> str:
    registry = CollectorRegistry()
    registry.register(agents)
    return Exposition(registry).text()


async def counted(*events: Event, agents: int = 10) -> StoredMetrics:
    """Return the metrics of some stored evolutions."""
    metrics = StoredMetrics(agents, 60)
    await MetricsTally(metrics, Beginnings()).count([group("evolution_metrics", *map(WIRE.encode, events))])
    return metrics


async def test_what_can_not_be_read_is_passed_over_and_named(caplog: pytest.LogCaptureFixture) -> None:
    metrics = StoredMetrics(10, 60)
    one, other = (WIRE.encode(evolution("a", status="succeeded")) for _ in range(2))
    await MetricsTally(metrics, Beginnings()).count(
        [group("evolution_metrics", one, one[:-1], other), group("success_rate", b"rubbish")]
    )
    assert metrics.evolutions.agents["a"].attempts == {("nightly", "succeeded"): 2}
    assert metrics.totals.attempts["nightly", "succeeded"] == 2
    assert "evometrics.evolution.metrics[0] offset 1 is stored but missing from the metrics" in caplog.text


async def test_durations_are_counted_where_they_were_measured_and_the_evolution_ended() -> None:
    metrics = await counted(
        evolution("a", status="succeeded", duration_minutes=2.0),
        evolution("a", status="failed", duration_minutes=0.5),
        evolution("a", status="failed", duration_minutes=0.0, unmeasured=["duration_minutes"]),
        evolution("a", status="abandoned", duration_minutes=1440.0),
    )
    shown = metrics.evolutions.agents["a"]
    assert sum(shown.attempts.values()) == sum(metrics.totals.attempts.values()) == 4
    for durations in (shown.durations["nightly"], metrics.totals.types["nightly"].durations):
        assert (sum(durations.counts), durations.total) == (2, 150.0)


def bucket(metrics: StoredMetrics, name: str, bound: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(metrics.totals)
    return registry.get_sample_value(f"{name}_bucket", {"evolution_type": "nightly", "le": bound})


async def test_bounds_tell_a_fraction_of_a_second_from_a_minute_and_hours_from_a_day() -> None:
    minutes = [0.2 / 60, 0.9, 3 * 60.0, 20 * 60.0]
    metrics = await counted(*(evolution("a", duration_minutes=each) for each in minutes))
    assert set(EVOLUTION_DURATION.buckets) > {60, 300, 600, 1800, 3600, 7200}
    found = {bound: bucket(metrics, DURATION.name, bound) for bound in ("0.1", "0.25", "60.0", "14400.0")}
    assert found == {"0.1": 0, "0.25": 1, "60.0": 2, "14400.0": 3}
    assert bucket(metrics, DURATION.name, "86400.0") == 4


async def test_memory_and_improvement_are_counted_of_every_agent_though_none_is_shown() -> None:
    metrics = await counted(
        evolution("a", memory_used_mb=64_000.0, improvement_delta=-0.3),
        evolution("b", memory_used_mb=300.0, improvement_delta=0.02),
        evolution("c", memory_used_mb=None, improvement_delta=None),
        agents=0,
    )
    assert bucket(metrics, MEMORY.name, "8000.0") == 1
    assert bucket(metrics, MEMORY.name, "+Inf") == 2
    assert bucket(metrics, IMPROVEMENT.name, "0.01") == 1
    assert bucket(metrics, IMPROVEMENT.name, "+Inf") == 2
    text = text_of(metrics)
    assert "agent_id=" not in text


async def test_an_improvement_of_0_is_one_and_a_memory_of_0_is_none() -> None:
    metrics = await counted(
        evolution("a", improvement_delta=0.0, memory_used_mb=0.0),
        evolution("b", improvement_delta=None, memory_used_mb=5.0),
    )
    found = samples(text_of(metrics))
    assert {k: v for k, v in found.items() if k[0] == "evolution_performance_improvement"} == {
        ("evolution_performance_improvement", ("a",)): 0.0
    }
    assert {k: v for k, v in found.items() if k[0] == "evolution_memory_used_mb"} == {
        ("evolution_memory_used_mb", ("b",)): 5.0
    }


@pytest.mark.parametrize("encode", [generate_latest, openmetrics])
async def test_any_name_and_any_value_is_read_back_in_both_formats(encode: Any) -> None:
    agent, kind = 'say "a"\\n\n{,} = ö', 'back\\slash"'
    metrics = await counted(
        evolution(agent, evolution_type=kind, improvement_delta=-1e-7, memory_used_mb=1e22)
    )
    shown = metrics.kpis.find(agent, 0)
    assert shown is not None
    shown.offer(
        (1, "id"), {"large": 1e300, "of \n": -0.0, "inf": math.inf, "-inf": -math.inf, "nan": math.nan}
    )
    registry = CollectorRegistry()
    metrics.register(registry)
    text = b"".join(Exposition(registry).pieces(encode)).decode()
    parse = text_string_to_metric_families if encode is generate_latest else parse_openmetrics
    found = {(s.name, *sorted(s.labels.items())): s.value for family in parse(text) for s in family.samples}
    labels = ("agent_id", agent), ("evolution_type", kind)
    assert found["evolution_attempts_total", *labels, ("status", "succeeded")] == 1
    assert found["evolution_duration_seconds_bucket", *labels, ("le", "300.0")] == 1
    assert found["evolution_duration_seconds_sum", *labels] == 150
    assert found["evometrics_evolution_duration_seconds_count", labels[1]] == 1
    assert found["evolution_performance_improvement", labels[0]] == -1e-7
    assert found["evolution_memory_used_mb", labels[0]] == 1e22
    kpis = {k[2][1]: v for k, v in found.items() if k[0] == "agent_kpi_current"}
    assert math.isnan(kpis.pop("nan"))
    assert kpis == {"large": 1e300, "of \n": 0.0, "inf": math.inf, "-inf": -math.inf}


async def test_lines_are_made_again_where_a_value_has_changed_alone() -> None:
    tally = MetricsTally(StoredMetrics(10, 60), Beginnings())

    async def text(*events: Event) -> str:
        await tally.count([group(each.record, WIRE.encode(each)) for each in events])
        return text_of(tally.metrics)

    one = KpiSnapshot(**common("a") | {"occurred_at": 5}, accuracy=0.5)
    first = await text(one, evolution("a", status="failed"), evolution("b", status="failed"))
    before = {agent: shown.texts for agent, shown in tally.metrics.evolutions.agents.items()}
    kept = before["b"][EVOLUTION_DURATION.name]
    assert await text() == first
    second = await text(one, dataclasses.replace(one, occurred_at=6, accuracy=0.75), evolution("a"))
    assert 'agent_kpi_current{agent_id="a",kpi_name="accuracy"} 0.75' in second
    assert 'evolution_duration_seconds_count{agent_id="a",evolution_type="nightly"} 2.0' in second
    assert before["b"][EVOLUTION_DURATION.name] is kept


async def test_totals_count_every_agent_and_a_bounded_number_of_types() -> None:
    made = [evolution(f"a{n}", evolution_type=f"t{n}", status="failed") for n in range(MOST_TYPES + 20)]
    metrics = await counted(*made, *made[:3], agents=5)
    assert set(metrics.evolutions.agents) == {f"a{n}" for n in range(5)}
    assert metrics.totals.attempts["t0", "failed"] == 1
    assert metrics.totals.attempts["t0", "succeeded"] == 0
    assert metrics.totals.attempts[OTHER, "failed"] == 20
    assert sum(metrics.totals.attempts.values()) == MOST_TYPES + 20
    assert len(metrics.totals.types) == MOST_TYPES + 1


async def test_without_agents_there_are_totals_alone() -> None:
    metrics = await counted(evolution("a"), agents=0)
    assert metrics.totals.attempts["nightly", "succeeded"] == 1
    text = text_of(metrics)
    assert not [line for line in text.splitlines() if not line.startswith("#")]


def test_what_the_compiled_codec_does_not_read_is_read_as_by_everybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = evolution(
        "a", improvement_delta=0.5, memory_used_mb=None, kpi_deltas={"accuracy": 0.1}, metadata={"a": "b"}
    )
    value = WIRE.encode(done)
    quick = read_ended(newest("evolution_metrics"), value, SINGLE_OBJECT_LENGTH)
    assert isinstance(quick, EndedEvolution)
    monkeypatch.setattr("evometrics.sinks.worker.tally.ended_codec", lambda schema: None)
    assert read_ended(newest("evolution_metrics"), value, SINGLE_OBJECT_LENGTH) == done
    assert {name: getattr(quick, name) for name in EndedEvolution.__slots__} == {
        n: getattr(done, n) for n in EndedEvolution.__slots__
    }


def test_ids_are_remembered_within_bounds() -> None:
    seen = SeenIds(limit=10)
    for i in range(100):
        assert seen.new(str(i))
        assert not seen.new(str(i)) and not seen.new(str(max(0, i - 4)))
        assert len(seen.newer) + len(seen.older) <= 10
    assert seen.new("3")


def test_one_id_is_remembered_where_no_more_may_be() -> None:
    seen = SeenIds(limit=1)
    assert [seen.new(event_id) for event_id in "aabba"] == [True, False, True, False, True]


async def test_the_http_server_answers_metrics_and_health() -> None:
    wrong: list[str] = []
    server = await serve(
        HttpAddress(0),
        lambda _: Response(200, PLAIN_TEXT, b"a 1\n"),
        lambda: None,
        lambda: wrong[0] if wrong else None,
    )

    def get(path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    assert await asyncio.to_thread(get, "/metrics") == (200, b"a 1\n")
    assert await asyncio.to_thread(get, "/health/live") == (200, b"ok\n")
    assert await asyncio.to_thread(get, "/health/ready") == (200, b"ok\n")
    wrong.append("ClickHouse is away")
    assert await asyncio.to_thread(get, "/health/ready") == (503, b"ClickHouse is away\n")
    assert (await asyncio.to_thread(get, "/nothing"))[0] == 404
    await server.close()
