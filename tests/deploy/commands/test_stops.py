"""Long-running parts are asked to end: in time although Kafka hangs, and with a word on what is not done."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evometrics.deploy.process.child import ChildProcess, ProcessSpec
from evometrics.deploy.process.ports import free_ports
from evometrics.deploy.process.readiness import answers
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.sinks.settings import ClickHouseSettings
from tests.streams.worker.test_worker import Stream, ended, paused, send
from tests.streams.worker.test_worker import stream as stream  # a fixture
from tests.support.model import SECOND
from tests.support.sinks import copy_database

#: What supervisors give a part, 30 s, and what a busy machine adds to the end of a process.
GRACE_SECONDS = 40


async def running_sink(stream: Stream, clickhouse: ClickHouseSettings) -> ChildProcess:
    (port,) = free_ports(1)
    arguments = ["--brokers", stream.brokers, "--clickhouse-url", clickhouse.url]
    arguments += ["--database", clickhouse.database, "--http-port", str(port)]
    spec = ProcessSpec(
        "sink",
        (sys.executable, "-m", "evometrics.deploy.cli", "sink", *arguments),
        stream.folder / "sink.log",
        answers(f"http://127.0.0.1:{port}/health/ready"),
    )
    sink = ChildProcess(spec)
    await sink.start()
    return sink


async def test_stream_and_sink_end_in_time_although_kafka_hangs(
    stream: Stream, migrated: ClickHouseSettings
) -> None:
    database = dataclasses.replace(migrated, database="stops")
    await copy_database(migrated, database)
    worker, sink = await stream.add(), await running_sink(stream, database)
    try:
        now = 1_700_000_000 * SECOND
        await send(stream.brokers, [ended(number, now + number) for number in range(200)])
        with paused(stream.broker):
            for child in (worker, sink):
                assert child.pid is not None
                os.kill(child.pid, signal.SIGTERM)
            async with asyncio.timeout(GRACE_SECONDS):
                codes = [await child.wait() for child in (worker, sink)]
        assert set(codes) <= {0, 1}
    finally:
        sink.kill()


def test_a_node_that_is_ended_says_what_the_broker_does_not_have(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    command = [sys.executable, "-m", "evometrics.deploy.cli", "orchestrate", "--node-id", "n1"]
    command += ["--brokers", KafkaSettings(brokers="127.0.0.1:1").brokers, "--data", str(tmp_path)]
    command += ["--evolutions", "100000", "--json", "--log-format", "json"]
    node = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert node.stdout is not None
    assert json.loads(node.stdout.readline())["event"] == "evolution"
    node.send_signal(signal.SIGTERM)
    _, said = node.communicate(timeout=60)
    assert node.returncode == 143
    logged = [json.loads(line) for line in said.splitlines()]
    told = [line["message"] for line in logged if "were not delivered" in line["message"]]
    assert len(told) == 1
    assert f"they wait in {tmp_path}/outbox/n1" in told[0]
    assert list((tmp_path / "outbox" / "n1").glob("outbox*"))
