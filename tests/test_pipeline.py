"""The whole pipeline as `evometrics up` runs it: what goes in by producers comes out by SQL, every row."""

from __future__ import annotations

import asyncio
import functools
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.partitioner import murmur2

from evometrics.schemas.events import EVENT_CLASSES, Event
from evometrics.schemas.topics import BY_RECORD, RAW_TOPICS, TOPICS
from evometrics.schemas.wire.catalog import newest
from evometrics.sinks.settings import SinkSettings
from evometrics.streams.settings import StreamSettings
from tests.support.generator import Load, generate, history
from tests.support.load import send_all
from tests.support.model import SECOND, Expected, differences, expected
from tests.support.stack import Running, evometrics, running_stack
from tests.support.tables import client, rows

PARTITIONS = 4
EVOLUTIONS = 2000
LOAD = Load(
    seed=11,
    begin=(int(time.time()) - 40 * 3600) * SECOND,
    agents=120,
    evolutions=EVOLUTIONS,
    nodes=4,
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_stack(tmp_path_factory.mktemp("pipeline") / "data", partitions=PARTITIONS) as running:
        yield running


@pytest.fixture(scope="module")
def sent(stack: Running, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """The generated load, sent and processed; events taken by topic."""
    taken = send_all(LOAD, stack.brokers, tmp_path_factory.mktemp("outboxes"))
    stack.drained()
    return taken


@pytest.fixture(scope="module")
def wanted() -> Expected:
    def partition_of(agent: str) -> int:
        return (murmur2(agent.encode()) & 0x7FFFFFFF) % PARTITIONS

    return expected(load_sent(), partition_of)


@functools.cache
def load_sent() -> list[Event]:
    return [event for _, event in generate(LOAD)]


@functools.cache
def load_there() -> list[Event]:
    """What was sent, and the snapshots that the stream made of it."""
    return [event for _, event in history(LOAD)]


def generated(record: str) -> dict[str, Event]:
    return {event.event_id: event for event in load_there() if event.record == record}


@pytest.mark.parametrize("record", [topic.record for topic in RAW_TOPICS])
def test_every_recorded_event_is_in_its_table_once_with_every_field(
    record: str, stack: Running, sent: dict[str, int]
) -> None:
    stored = rows(stack.clickhouse_url, record)
    events = generated(record)
    others = [row for event_id, row in stored.items() if event_id not in events]
    assert {row["event_type"] for row in others} == (
        {"collector_health"} if record == "system_event" else set()
    )
    mine = {event_id: row for event_id, row in stored.items() if event_id in events}
    assert differences({i: e.to_record() for i, e in events.items()}, mine) == []
    # the load holds duplicates: they were taken and published, and are one row each
    sent_events = sum(1 for event in load_sent() if event.record == record)
    assert sum(1 for event in load_there() if event.record == record) > len(events) >= 100
    assert sent[BY_RECORD[record].name] == sent_events + len(others)


@pytest.mark.parametrize("record", ["evolution_metrics", "kpi_delta", "success_rate"])
def test_every_derived_row_is_the_models(
    record: str, stack: Running, sent: dict[str, int], wanted: Expected
) -> None:
    model = getattr(wanted, BY_RECORD[record].table)
    assert len(model) >= EVOLUTIONS * 0.5
    assert differences(model, rows(stack.clickhouse_url, record))[:20] == []


def test_the_load_exercises_what_it_should(wanted: Expected) -> None:
    statuses = [row["status"] for row in wanted.evolution_metrics.values()]
    assert statuses.count("abandoned") >= 10
    assert len(statuses) - statuses.count("abandoned") >= EVOLUTIONS * 0.9
    assert len({row["agent_id"] for row in wanted.evolution_metrics.values()}) == LOAD.agents


def test_good_input_leaves_no_dead_letters(stack: Running, sent: dict[str, int]) -> None:
    assert rows(stack.clickhouse_url, "dead_letter") == {}


async def test_kafka_knows_each_worker_by_its_part_and_instance(stack: Running) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.brokers)
    await admin.start()
    try:
        # one by one: aiokafka (0.14) can't read the answer for several
        groups = [StreamSettings().group, SinkSettings().group]
        answers = [(await admin.describe_consumer_groups([group]))[0] for group in groups]
    finally:
        await admin.close()
    described = [answer.groups[0] for answer in answers]
    clients = {name: {member[1] for member in members} for _, name, _, _, _, members, *_ in described}
    host = re.sub(r"[^A-Za-z0-9._-]", "_", socket.gethostname())
    assert clients == {
        StreamSettings().group: {"evometrics-stream-stream-1"},
        SinkSettings().group: {f"evometrics-sink-{host}"},
    }


def test_a_plain_http_request_reads_a_table(stack: Running, sent: dict[str, int]) -> None:
    query = "SELECT count() FROM evometrics.evolution_completed FORMAT JSON"
    request = urllib.request.Request(f"{stack.clickhouse_url}/?user=analyst", query.encode())
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
    assert int(answer["data"][0]["count()"]) == len(generated("evolution_completed"))


def test_a_stock_kafka_client_reads_every_topic_with_the_avsc_files_alone(
    stack: Running, sent: dict[str, int]
) -> None:
    folder = Path(__file__).parents[1] / "schemas" / "avro"

    async def read(topic: str, record: str) -> int:
        schema = fastavro.parse_schema(json.loads((folder / record / "v1.avsc").read_text()))
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=stack.brokers, auto_offset_reset="earliest", group_id=None
        )
        await consumer.start()
        try:
            seen = 0
            for records in (await consumer.getmany(timeout_ms=5000, max_records=500)).values():
                for message in records:
                    found = fastavro.schemaless_reader(io.BytesIO(message.value[10:]), schema, None)
                    assert (
                        message.key.decode() in (found["agent_id"], found["node_id"])
                        or record == "success_rate"
                    )
                    assert found["occurred_at"].tzinfo is not None
                    seen += 1
            return seen
        finally:
            await consumer.stop()

    for topic in TOPICS:
        assert newest(topic.record).record == topic.record
        if topic.kind != "dead_letter":
            assert asyncio.run(read(topic.name, topic.record)) > 0, topic.name
    assert {t.record for t in TOPICS} == set(EVENT_CLASSES)


def test_the_lag_of_every_partition_that_a_worker_has_comes_down_to_0(stack: Running) -> None:
    deadline = time.monotonic() + 60
    while True:
        lag = {k: v for k, v in stack.metrics().items() if k.startswith("evometrics_consumer_lag{")}
        if len(lag) == (len(TOPICS) + 1) * PARTITIONS and not any(lag.values()):
            return
        assert time.monotonic() < deadline, lag
        time.sleep(0.5)


def test_metrics_match_sql(stack: Running, sent: dict[str, int]) -> None:
    found = stack.metrics()

    def total(name: str) -> float:
        return sum(value for sample, value in found.items() if sample.partition("{")[0] == name)

    with client(stack.clickhouse_url) as sql:

        def one(query: str) -> Any:
            return sql.query(query).result_rows[0][0]

        # a row that was joined with its start later was counted as it first came
        for agent, kind, status, number, joined in sql.query(
            "SELECT agent_id, evolution_type, status, count(), countIf(version = 1) "
            "FROM evolution_metrics GROUP BY ALL"
        ).result_rows:
            labels = f'{{agent_id="{agent}",evolution_type="{kind}",status="{status}"}}'
            assert number - joined <= found.get(f"evolution_attempts_total{labels}", 0) <= number
        assert total("evolution_attempts_total") == one("SELECT count() FROM evolution_metrics")
        ended = "FROM evolution_metrics WHERE status != 'abandoned'"
        timed, joined = one(f"SELECT count(duration_minutes) {ended}"), one(f"SELECT sum(version) {ended}")
        assert timed - joined <= total("evolution_duration_seconds_count") <= timed
        seconds = one(f"SELECT sum(duration_minutes) * 60 {ended}")
        least = seconds - one(f"SELECT sum(duration_minutes) * 60 {ended} AND version = 1")
        assert least * (1 - 1e-9) <= total("evolution_duration_seconds_sum") <= seconds * (1 + 1e-9)
        for metric, column in (
            ("evolution_performance_improvement", "improvement_delta"),
            ("evolution_memory_used_mb", "memory_used_mb"),
        ):
            newest_values = sql.query(
                f"SELECT agent_id, argMax({column}, (occurred_at, event_id)) FROM evolution_metrics "
                f"WHERE {column} IS NOT NULL GROUP BY agent_id"
            ).result_rows
            assert newest_values
            for agent, value in newest_values:
                assert found[f'{metric}{{agent_id="{agent}"}}'] == pytest.approx(value), (metric, agent)
        for agent, value in sql.query(
            "SELECT agent_id, argMax(tuple(accuracy), (occurred_at, event_id)).1 "
            "FROM kpi_snapshots GROUP BY agent_id"
        ).result_rows:
            sample = f'agent_kpi_current{{agent_id="{agent}",kpi_name="accuracy"}}'
            assert found.get(sample) == (None if value is None else pytest.approx(value)), agent
        for topic in TOPICS:
            stored = one(f"SELECT count() FROM {topic.table}_rows")
            assert found.get(f'evometrics_messages_consumed_total{{topic="{topic.name}"}}', 0) >= stored
        letters = one("SELECT count() FROM dead_letters")
        messages = one("SELECT uniqExact(source_topic, source_partition, source_offset) FROM dead_letters")
        assert total("evometrics_dead_letters_total") == messages
        assert messages + total("evometrics_stream_unreadable_total") == letters
    assert total("evometrics_insert_seconds_count") == total("evometrics_batches_inserted_total") > 0


SPECIFICATION_SCRIPT = """
import asyncio, sys, time
from dataclasses import dataclass, field
from evometrics.producers import EvolutionMetricsCollector

@dataclass
class EvolutionEvent:
    agent_id: str
    timestamp: float
    pre_evolution_kpis: dict

@dataclass
class EvolutionCompletionEvent:
    agent_id: str
    timestamp: float
    success: bool
    post_evolution_kpis: dict
    duration_seconds: float

async def main():
    collector = EvolutionMetricsCollector(
        {"buffer_size": 100, "flush_interval": 60, "db_path": sys.argv[2], "brokers": sys.argv[1]}
    )
    await collector.start()
    for number in range(3):
        begun = time.time() - 600 + number
        await collector.record_evolution_start(
            EvolutionEvent("spec-agent", begun, {"accuracy": 0.5, "performance": 0.4})
        )
        await collector.record_evolution_completion(
            EvolutionCompletionEvent(
                agent_id="spec-agent",
                timestamp=begun + 30,
                success=number != 1,
                post_evolution_kpis={"accuracy": 0.75, "performance": 0.4 + 0.1 * number},
                duration_seconds=30.0,
            )
        )
    await collector.record_system_event("night_over", {"evolved": 3})
    await collector.record_system_metrics({"cpu_percent": 12.5})
    await collector.stop()

asyncio.run(main())
"""


def test_the_specifications_calls_and_objects_record_evolutions_with_the_right_deltas(
    stack: Running, sent: dict[str, int], tmp_path: Path
) -> None:
    script = tmp_path / "orchestrator.py"
    script.write_text(SPECIFICATION_SCRIPT)
    subprocess.run(
        [sys.executable, str(script), stack.brokers, str(tmp_path / "metrics.db")], check=True, timeout=60
    )
    stack.drained()
    with client(stack.clickhouse_url) as sql:
        found = sql.query(
            "SELECT evolution_id, improvement_delta, kpi_deltas, duration_minutes, success "
            "FROM evolution_metrics WHERE agent_id = 'spec-agent' ORDER BY timestamp"
        ).result_rows
        assert [round(row[1], 9) for row in found] == [0.0, 0.1, 0.2]
        assert [row[2] for row in found] == [
            {"accuracy": 0.25, "performance": pytest.approx(0.1 * n)} for n in range(3)
        ]
        assert [row[3] for row in found] == [0.5] * 3
        assert [row[4] for row in found] == [True, False, True]
        assert len({row[0] for row in found}) == 3
        started = sql.query("SELECT evolution_id FROM evolution_started WHERE agent_id = 'spec-agent'")
        assert {row[0] for row in started.result_rows} == {row[0] for row in found}
        data = sql.query("SELECT data FROM system_events WHERE event_type = 'night_over'").result_rows
        assert json.loads(data[0][0]) == {"evolved": 3}
        rate = sql.query(
            "SELECT attempts, successes FROM success_rates "
            "WHERE scope_value = 'spec-agent' AND window_seconds = 604800 ORDER BY window_end DESC LIMIT 1"
        ).result_rows
        assert rate == [(3, 2)]


def test_the_command_line_finds_the_running_stack(stack: Running, sent: dict[str, int]) -> None:
    found = evometrics(
        "sql", "--data", str(stack.data), "--format", "json", "SELECT count() AS n FROM evolution_started"
    )
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["n"] >= len(generated("evolution_started"))
    listed = evometrics("topics", "--data", str(stack.data), "--json", "--partitions", str(PARTITIONS))
    assert {t["partitions"] for t in json.loads(listed.stdout)} == {PARTITIONS}
    applied = evometrics("migrate", "--data", str(stack.data), "--json")
    assert json.loads(applied.stdout) == {"database": "evometrics", "applied": [], "wider": []}


def test_the_stack_serves_its_pages(stack: Running, sent: dict[str, int]) -> None:
    found = evometrics("ui", "--data", str(stack.data))
    assert (found.returncode, found.stderr.split()[1]) == (0, stack.pages_url)
    with urllib.request.urlopen(f"{stack.pages_url}pipeline", timeout=60) as answer:
        page = answer.read().decode()
    assert 'class="problem"' not in page
    with urllib.request.urlopen(f"{stack.pages_url}lag", timeout=60) as answer:
        lag = answer.read().decode()
    assert "evometrics-stream: 0 behind" in lag and "evometrics-sink: 0 behind" in lag, lag
    with urllib.request.urlopen(f"{stack.pages_url}retry", timeout=60) as answer:
        assert "No message is open" in answer.read().decode()


def test_a_closed_terminal_does_not_end_the_stack(stack: Running, sent: dict[str, int]) -> None:
    noted = json.loads((stack.data / "stack.json").read_text())
    os.kill(noted["owner"]["pid"], signal.SIGHUP)
    found = evometrics("config", "--data", str(stack.data), "--json")
    settings = {each["setting"]: each for each in json.loads(found.stdout)}
    assert settings["kafka.brokers"]["value"] == stack.brokers
    assert settings["kafka.brokers"]["from"] == "the stack running here"
    counted = evometrics("sql", "--data", str(stack.data), "SELECT count() FROM evolution_started")
    assert counted.returncode == 0, counted.stderr
    assert stack.pids() == {name: mark["pid"] for name, mark in noted["parts"].items()}


def test_bad_sql_and_unknown_tables_are_named(stack: Running) -> None:
    found = evometrics("sql", "--data", str(stack.data), "SELEC 1")
    assert found.returncode == 1
    assert found.stderr == ("evometrics sql: line 1, column 7: syntax error near '1'\nSELEC 1\n      ^\n")
    assert "Traceback" not in found.stderr
    found = evometrics("sql", "--data", str(stack.data), "SELECT * FROM no_such_table")
    assert found.returncode == 1
    assert "no_such_table" in found.stderr


def test_a_message_that_is_no_event_becomes_a_dead_letter_and_the_rest_goes_on(
    stack: Running, sent: dict[str, int]
) -> None:
    from aiokafka import AIOKafkaProducer

    async def spoil() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=stack.brokers)
        await producer.start()
        topic = BY_RECORD["evolution_completed"].name
        await producer.send_and_wait(topic, b"rubbish", key=b"bad-agent")
        await producer.stop()

    before = len(rows(stack.clickhouse_url, "evolution_completed"))
    asyncio.run(spoil())
    stack.drained()
    letters = rows(stack.clickhouse_url, "dead_letter").values()
    assert {(letter["stage"], letter["agent_id"]) for letter in letters} == {
        ("stream", "bad-agent"),
        ("sink", "bad-agent"),
    }
    assert all("unknown framing" in letter["reason"] for letter in letters)
    assert len(rows(stack.clickhouse_url, "evolution_completed")) == before
