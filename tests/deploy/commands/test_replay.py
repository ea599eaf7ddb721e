"""`evometrics replay` beside a running pipeline: wrong rows are corrected, what arrives meanwhile is kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiokafka import AIOKafkaProducer

from evometrics.deploy.cli import main as cli
from evometrics.deploy.commands import replay as replay_command
from evometrics.deploy.process.readiness import answers
from evometrics.schemas.events import Event, EvolutionCompleted
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.kafka.offsets import AIOKafkaAdminClient
from evometrics.schemas.kafka.partitions import partition_of
from evometrics.schemas.topics import BY_RECORD, DERIVED_TOPICS
from evometrics.schemas.wire.framing import WireFormat
from evometrics.sinks.settings import SinkSettings
from evometrics.streams.settings import StreamSettings
from tests.support import formula_stack
from tests.support.ended import still_at_work
from tests.support.formula_stack import WRONG
from tests.support.generator import Load, generate
from tests.support.migrated import copied
from tests.support.model import SECOND, differences, expected
from tests.support.stack import Running, evometrics, running_stack
from tests.support.tables import client, rows

LOAD = Load(seed=21, begin=(int(time.time()) - 40 * 3600) * SECOND, agents=60, evolutions=700, nodes=2)
PARTITIONS = 4
WIRE = WireFormat()
EVENTS = [event for _, event in generate(LOAD)]
#: How many are there initially, and when the wrong formula ends; the others come while the replays run.
FIRST, SECOND_PART = len(EVENTS) // 3, 2 * len(EVENTS) // 3
ALL_WRONG = f"countIf(efficiency >= {WRONG})"


@dataclass
class Pipeline:
    """A running stack, and what was published to it so far.

    Attributes:
        wrong_file: the stream's worker computes the efficiency wrong if this is there when it starts.
    """

    stack: Running
    wrong_file: Path
    events: list[Event] = field(default_factory=list)

    def publish(self, events: Sequence[Event], hurry: threading.Event | None = None) -> None:
        """Send events; slowly until `hurry` is set, where it is given."""
        self.events += events
        asyncio.run(publish(self.stack.brokers, events, hurry))

    @contextlib.contextmanager
    def publishing(self, events: Sequence[Event]) -> Iterator[threading.Thread]:
        """Send events slowly all the while, what is left of them in the end."""
        hurry = threading.Event()
        publisher = threading.Thread(target=self.publish, args=(events, hurry))
        publisher.start()
        try:
            yield publisher
        finally:
            hurry.set()
            publisher.join()

    def replace_worker(self, *, wrong: bool) -> None:
        """End the stream's worker; the stack starts another one, of a build that is wrong or right."""
        if wrong:
            self.wrong_file.touch()
        else:
            self.wrong_file.unlink()
        before = self.stack.pids()["stream-1"]
        os.kill(before, signal.SIGKILL)
        ready = answers(self.stack.metrics_urls["stream-1"].replace("/metrics", "/health/ready"))
        deadline = time.monotonic() + 60
        while self.stack.pids().get("stream-1", before) == before or not asyncio.run(ready()):
            assert time.monotonic() < deadline, "no other worker was started"
            time.sleep(0.1)

    def failing_worker(self) -> None:
        """End the stream's worker; the stack starts ones of a build that fails at each completion."""
        self.wrong_file.write_text(formula_stack.FAILS)
        os.kill(self.stack.pids()["stream-1"], signal.SIGKILL)

    def wrong_rows(self) -> int:
        """Return how many rows hold a wrong efficiency."""
        with client(self.stack.clickhouse_url) as sql:
            return int(sql.query(f"SELECT {ALL_WRONG} FROM evolution_metrics").result_rows[0][0])

    def check(self) -> None:
        """Hold every derived row against what the model makes of all that was published."""
        wanted = expected(self.events, lambda agent: partition_of(agent.encode(), PARTITIONS))
        for topic in DERIVED_TOPICS:
            model, found = getattr(wanted, topic.table), rows(self.stack.clickhouse_url, topic.record)
            assert differences(model, found)[:5] == []


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory, migrated_folder: Path) -> Iterator[Pipeline]:
    folder = tmp_path_factory.mktemp("replay")
    copied(migrated_folder, folder / "data" / "clickhouse")
    wrong = folder / "wrong-formula"
    build = {"build": formula_stack.__name__, formula_stack.FILE: str(wrong)}
    with running_stack(folder / "data", PARTITIONS, **build) as running:
        found = Pipeline(running, wrong)
        found.publish(EVENTS[:FIRST])
        running.drained()
        yield found


@pytest.fixture
def stack(pipeline: Pipeline) -> Running:
    return pipeline.stack


async def publish(brokers: str, events: Sequence[Event], hurry: threading.Event | None = None) -> None:
    """Send events; slowly until `hurry` is set, where it is given."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers, linger_ms=2)
    await producer.start()
    for number, event in enumerate(events):
        await producer.send(BY_RECORD[event.record].name, WIRE.encode(event), key=event.key.encode())
        if hurry is not None and number % 10 == 0 and not hurry.is_set():
            await producer.flush()
            await asyncio.sleep(0.8)
    await producer.stop()


def replay(stack: Running, *arguments: str, code: int = 0) -> dict[str, Any]:
    found = evometrics("replay", "--json", "--data", str(stack.data), *arguments, timeout=120)
    assert found.returncode == code, (found.stdout[-2000:], found.stderr)
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


def shadows(stack: Running) -> list[Any]:
    with client(stack.clickhouse_url) as sql:
        found = sql.query("SELECT name FROM system.tables WHERE name LIKE '%replay%'").result_rows
    return list(found)


class Watch(threading.Thread):
    """Asks for some evolutions in a loop, as an analyst would: each must be there, once.

    Attributes:
        wrong: how many of them a wrong formula had made, each time it asked.
        trouble: what an analyst should never see.
    """

    def __init__(self, url: str, ids: list[str]) -> None:
        super().__init__()
        self.url, self.ids = url, ids
        self.over = threading.Event()
        self.wrong: list[int] = []
        self.trouble: list[str] = []

    def run(self) -> None:
        with client(self.url) as sql:
            while not self.over.is_set():
                found = sql.query(
                    f"SELECT count(), uniqExact(event_id), {ALL_WRONG} FROM evolution_metrics "
                    "WHERE event_id IN {ids:Array(UUID)}",
                    {"ids": self.ids},
                ).result_rows[0]
                if found[:2] != (len(self.ids), len(self.ids)):
                    self.trouble.append(f"{found} of {len(self.ids)}")
                self.wrong.append(found[2])

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


def metric_ids(stack: Running) -> list[str]:
    return list(rows(stack.clickhouse_url, "evolution_metrics"))


@pytest.mark.parametrize("source", ["tables", "kafka"])
def test_a_pipeline_that_works_has_nothing_to_put_right(stack: Running, source: str) -> None:
    answer = replay(stack, "--source", source)
    assert answer["different"] == 0 and not answer["applied"]
    assert answer["computed"]["events"] > FIRST / 2
    for topic in DERIVED_TOPICS:
        found = answer["tables"][topic.table]
        assert found["live"] == found["replayed"] == len(rows(stack.clickhouse_url, topic.record)) > 200
        assert not any(found["counts"].values())
    said = evometrics("replay", "--data", str(stack.data), "--tables", "kpi_deltas", "--source", source)
    assert said.returncode == 0 and "nothing to correct" in said.stdout
    assert shadows(stack) == []


def test_a_wrong_formula_that_was_shipped_is_put_right_while_producers_publish(pipeline: Pipeline) -> None:
    """And nobody who asks meanwhile sees an evolution missing or twice."""
    stack, groups = pipeline.stack, committed(pipeline.stack)
    pipeline.replace_worker(wrong=True)
    # before what is later: event time that runs ahead of them would make their evolutions abandoned ones
    pipeline.publish(EVENTS[FIRST:SECOND_PART])
    with pipeline.publishing(EVENTS[SECOND_PART:]) as publisher:
        stack.drained()
        pipeline.replace_worker(wrong=False)
        stack.drained()
        ids, number = metric_ids(stack), pipeline.wrong_rows()
        assert 100 < number < len(ids) - 100
        with Watch(stack.clickhouse_url, ids) as watch:
            said = evometrics("replay", "--data", str(stack.data), "--settle-seconds", "0")
            assert said.returncode == 3, said.stderr
            # of a few the start comes meanwhile, and the stream itself puts their rows right
            few = range(number - 5, number + 1)
            assert "efficiency" in said.stdout
            assert any(f"{changed} changed" in said.stdout for changed in few)
            assert "--apply corrects them" in said.stdout
            assert set(watch.wrong) <= set(few), "a dry run changes nothing"
            applied = replay(stack, "--apply", "--settle-seconds", "0")
            assert applied["applied"] and applied["different_now"] == 0
            assert applied["tables"]["evolution_metrics"]["counts"]["changed"] in few
            assert applied["tables"]["evolution_metrics"]["counts"]["gone"] == 0
            assert publisher.is_alive(), "producers were to publish all the time"
    assert watch.trouble == []
    assert len(watch.wrong) > 10 and watch.wrong[-1] == 0
    stack.drained()
    pipeline.check()
    assert replay(stack, "--source", "kafka")["different"] == 0
    # the stream's and the sink's groups made progress, and nobody else's came
    assert committed(stack).keys() == groups.keys()
    assert all(committed(stack)[place] >= offset for place, offset in groups.items())


def committed(stack: Running) -> dict[tuple[str, str, int], int]:
    """Return the offsets of all consumer groups by group, topic and partition."""

    async def ask() -> dict[tuple[str, str, int], int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=stack.brokers)
        await admin.start()
        try:
            names = [str(group[0]) for group in await admin.list_consumer_groups()]
            assert set(names) == {StreamSettings().group, SinkSettings().group}
            return {
                (name, place.topic, place.partition): known.offset
                for name in names
                for place, known in (await admin.list_consumer_group_offsets(name)).items()
            }
        finally:
            await admin.close()

    return asyncio.run(ask())


def test_killed_at_any_moment_the_same_command_again_puts_all_right_and_leaves_nothing_behind(
    pipeline: Pipeline,
) -> None:
    stack = pipeline.stack
    rng = random.Random()
    command = [sys.executable, "-m", "evometrics.deploy.cli", "replay", "--apply", "--settle-seconds", "0"]
    with client(stack.clickhouse_url) as sql:
        sql.command(
            "INSERT INTO evolution_metrics_rows SELECT * EXCEPT (_inserted_at) "
            f"REPLACE (efficiency + {WRONG} AS efficiency), now64(3) AS _inserted_at "
            "FROM evolution_metrics_rows FINAL WHERE cityHash64(event_id) % 3 = 0"
        )
        sql.command("DELETE FROM kpi_deltas_rows WHERE cityHash64(event_id) % 5 = 0")
    assert pipeline.wrong_rows() > 50
    behind = 0
    for _ in range(3):
        process = subprocess.Popen(
            [*command, "--processes", "2", "--data", str(stack.data)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and not shadows(stack):
            time.sleep(0.02)
        time.sleep(rng.random())
        helpers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        assert still_at_work(helpers, 20) == []
        behind += bool(shadows(stack))
    assert behind, "killed at work"
    done = replay(stack, "--apply", "--settle-seconds", "0")
    assert done["different_now"] == 0
    assert shadows(stack) == []
    pipeline.check()


def test_snapshots_that_evolutions_call_for_and_nobody_has_made_are_made_once(pipeline: Pipeline) -> None:
    """As though the stream had never read some events that the sink has stored."""
    stack = pipeline.stack
    right = rows(stack.clickhouse_url, "kpi_snapshot")
    unmade = "source_event_id IS NOT NULL AND cityHash64(source_event_id) % 2 = 0"
    with client(stack.clickhouse_url) as sql:
        ids = f"SELECT event_id FROM kpi_snapshots WHERE {unmade}"
        number = int(sql.query(f"SELECT count() FROM ({ids})").result_rows[0][0])
        sql.command(f"DELETE FROM kpi_deltas_rows WHERE snapshot_event_id IN ({ids})")
        sql.command(f"DELETE FROM kpi_snapshots_rows WHERE {unmade}")
    assert number > 20
    said = evometrics("replay", "--data", str(stack.data))
    assert said.returncode == 3, said.stderr
    assert (
        f"{number} of them are KPI snapshots that evolutions call for and nobody has created" in said.stdout
    )
    assert len(rows(stack.clickhouse_url, "kpi_snapshot")) == len(right) - number
    done = replay(stack, "--apply")
    assert done["snapshots_made"] == number and done["different_now"] == 0
    assert differences(right, rows(stack.clickhouse_url, "kpi_snapshot")) == []
    pipeline.check()
    assert replay(stack, "--apply")["snapshots_made"] == 0


def test_a_build_that_fails_stops_with_its_traceback_and_a_mended_one_goes_on_with_nothing_lost(
    pipeline: Pipeline,
) -> None:
    stack = pipeline.stack
    ended = [e for e in EVENTS if isinstance(e, EvolutionCompleted)][:40]
    more = [replace(e, event_id=new_event_id(), agent_id=f"more-{n}") for n, e in enumerate(ended)]
    before = len(rows(stack.clickhouse_url, "dead_letter"))
    pipeline.failing_worker()
    pipeline.publish(more)
    log, deadline = stack.data / "logs" / "stream-1.log", time.monotonic() + 60
    while 'KeyError: "the build\'s"' not in (said := log.read_text()):
        assert time.monotonic() < deadline, said[-2000:]
        time.sleep(0.1)
    assert "Traceback" in said
    pipeline.wrong_file.unlink()
    stack.drained()
    pipeline.check()
    assert len(rows(stack.clickhouse_url, "dead_letter")) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tables", "kpi_snapshots"], "no derived table"),
        (["--from", "yesterday"], "not an ISO time"),
        (["--from", "2026-11-02", "--to", "2026-11-01"], "must be after --from"),
        (["--lateness-hours", "-1"], "allowed_lateness_seconds"),
        (["--samples", "-1"], "samples"),
        (["--source", "elsewhere"], "elsewhere"),
        (["--offsets", "evometrics.kpi.snapshots=7"], "is not TOPIC:PARTITION=OFFSET"),
        (["--offsets", "evometrics.kpi.snapshots:0=7"], "--source kafka"),
    ],
)
def test_what_was_asked_wrongly_is_named(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replay_command, "set_pace", cli.nothing)
    try:
        code = cli.main(["replay", *arguments])
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2 and said in capsys.readouterr().err


def test_a_missing_database_is_named(stack: Running) -> None:
    missing = evometrics("replay", "--data", str(stack.data), "--database", "nowhere")
    assert missing.returncode == 1 and "nowhere" in missing.stderr and "Traceback" not in missing.stderr
