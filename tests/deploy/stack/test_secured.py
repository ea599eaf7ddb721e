"""All parts on a Kafka that wants TLS, a login and rights, and what each says where a setting is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from evometrics.deploy.cli.main import main
from evometrics.deploy.process.ports import free_ports
from evometrics.producers import EvolutionMetricsCollector
from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.kafka.reaching import why_unusable
from evometrics.schemas.kafka.rights import NEEDS
from evometrics.schemas.kafka.topics import answered, create_missing
from evometrics.schemas.service.http import HttpAddress
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import (
    DEAD_LETTERS,
    DERIVED_TOPICS,
    KPI_SNAPSHOTS,
    RAW_TOPICS,
    SCOPE_COUNTS,
    SYSTEM_EVENTS,
    TOPICS,
)
from evometrics.sinks.settings import ClickHouseSettings, SinkSettings
from evometrics.sinks.worker.worker import SinkWorker, run_sink
from evometrics.streams.settings import StreamSettings
from evometrics.streams.sources.topics import EVOLUTION_TOPICS, SNAPSHOT_TOPICS, SOURCE_TOPICS
from evometrics.streams.worker.worker import run_stream
from tests.support.certificates import certificate
from tests.support.history_files import SCHEMA
from tests.support.outboxes import config, until
from tests.support.secured import (
    PASSWORD,
    STRANGER,
    USER,
    Right,
    Secured,
    denied,
    environ,
    grant,
    secured_node,
)
from tests.support.stack import Running, evometrics, running_stack

#: What a fault in the settings is told apart by; the fault as settings that replace the right ones.
FAULTS = {
    "password": ({"sasl_plain_password": "wrong"}, f"refuses the login of {USER} by SCRAM-SHA-512: correct"),
    "authority": ({"ssl_cafile": "OTHER"}, "of an authority that is not trusted here (unable to get local "),
    "protocol": (
        {"security_protocol": "SASL_PLAINTEXT", "ssl_cafile": ""},
        "speaks TLS: set security_protocol=SASL_SSL",
    ),
    "host": ({"brokers": "ELSEWHERE"}, "has a certificate that is not for 127.0.0.1: name the broker in"),
    "right": ({"sasl_plain_username": STRANGER}, f"Kafka denies user {STRANGER} a right ("),
}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    yield from secured_node(tmp_path_factory.mktemp("secured"))


@pytest.fixture(scope="module")
def variables(secured: Secured, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `evometrics` is told, with the password in a file, as containers have it."""
    file = tmp_path_factory.mktemp("secrets") / "kafka-password"
    file.write_text(f"{PASSWORD}\n")
    told = environ(secured.settings(sasl_plain_password="", brokers=""))
    return {**told, "EVOMETRICS_KAFKA_SASL_PLAIN_PASSWORD_FILE": str(file)}


@pytest.fixture(scope="module")
def stack(
    secured: Secured, variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A stream worker, a sink and ClickHouse on the secured Kafka."""
    data = tmp_path_factory.mktemp("stack") / "data"
    flags = ("--brokers", secured.addresses["SASL_SSL"])
    with running_stack(data, 2, *flags, **variables) as running:
        yield running


@pytest.fixture(scope="module")
def demo(secured: Secured, stack: Running, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The demo, with a message that nobody can read before it; its arguments and those of all parts."""
    asyncio.run(send(secured.settings(), KPI_SNAPSHOTS.name, [b"nothing"]))
    arguments = ("--agents", "4", "--evolutions", "24", "--nodes", "2", "--json")
    command = [sys.executable, "-m", "evometrics.deploy.cli", "demo", "--data", str(stack.data), *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | variables
    )
    seen: set[str] = set()
    while process.poll() is None:
        seen |= command_lines()
        time.sleep(0.2)
    out, err = process.communicate()
    assert any("evometrics.producers.demo" in line for line in seen), "the nodes were looked at"
    assert not [line for line in seen if PASSWORD in line]
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def command_lines() -> set[str]:
    """Return the arguments of all processes of this machine."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.add(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


async def send(settings: dict[str, str], topic: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(**client_options(KafkaSettings(**settings)))  # type: ignore[arg-type]
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value, key=b"agent")
    finally:
        await producer.stop()


def test_the_whole_pipeline_runs_and_every_event_is_stored(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.returncode == 0, demo.stderr
    sides = json.loads(demo.stdout)
    assert sides["recorded"] == sides["stored"]
    assert all(sides["recorded"][topic.name] for topic in TOPICS if topic.record in ("evolution_metrics",))


def test_no_secret_is_in_a_log_a_file_or_an_answer(
    stack: Running, demo: subprocess.CompletedProcess[str], variables: dict[str, str]
) -> None:
    said = {"demo": demo.stdout + demo.stderr, "up": stack.log.read_text()}
    said |= {str(file): file.read_text() for file in stack.data.glob("logs/*.log")}
    said["stack.json"] = (stack.data / "stack.json").read_text()
    for name, url in stack.metrics_urls.items():
        for path in ("/metrics", "/health/live", "/health/ready"):
            with urllib.request.urlopen(url.replace("/metrics", path), timeout=10) as answer:
                said[f"{name}{path}"] = answer.read().decode()
    shown = evometrics("config", "--data", str(stack.data), **variables)
    said["config"] = shown.stdout + shown.stderr
    assert USER in said["config"] and "***" in said["config"]
    assert len(said) >= 10
    assert [name for name, text in said.items() if PASSWORD in text] == []


async def test_a_node_records_with_a_client_certificate(
    secured: Secured, stack: Running, tmp_path: Path
) -> None:
    collector = EvolutionMetricsCollector(config(tmp_path, **secured.settings("SSL")))
    await collector.start()
    await collector.record_system_event("started", {})
    assert await collector.drain(30)
    assert collector.published["evometrics.system.events"]
    await collector.stop()


def test_a_client_under_uvloop_stops_at_once_although_data_arrives(secured: Secured) -> None:
    topic = "large"

    async def stopped() -> float:
        options = client_options(KafkaSettings(**secured.settings()))  # type: ignore[arg-type]
        consumers = [AIOKafkaConsumer(topic, **options, auto_offset_reset="earliest") for _ in range(4)]
        await asyncio.gather(*(each.start() for each in consumers))
        await asyncio.gather(*(each.getmany(timeout_ms=5000) for each in consumers))
        began = time.monotonic()
        await asyncio.gather(*(each.stop() for each in consumers))
        return time.monotonic() - began

    trusted = {"brokers": secured.addresses["PLAINTEXT"]}
    kafka = KafkaSettings(**trusted, partitions=1)  # type: ignore[arg-type]
    asyncio.run(answered(kafka, lambda admin: create_missing(admin, kafka, {topic: {}})))
    asyncio.run(send(trusted, topic, [bytes(900_000)] * 40))
    assert uvloop.run(stopped()) < 5


#: Returns what a part that goes on trying says, once it says what is wanted or its time is up.
Part = Callable[[dict[str, str], Running, Path, str], Awaitable[str]]


async def node(settings: dict[str, str], _: Running, folder: Path, wanted: str) -> str:
    """Return why a node does not send."""
    collector = EvolutionMetricsCollector(config(folder, **settings))
    await collector.start()
    try:
        await collector.record_system_event("waits", {})
        with contextlib.suppress(TimeoutError):
            await until(lambda: wanted in collector.sending.problem, 30)
        return collector.sending.problem
    finally:
        await collector.stop()


async def sink(settings: dict[str, str], stack: Running, _: Path, wanted: str) -> str:
    """Return what a sink waits for."""
    clickhouse = ClickHouseSettings(url=stack.clickhouse_url)
    kafka = KafkaSettings(**settings)  # type: ignore[arg-type]
    worker = SinkWorker(kafka, clickhouse, SinkSettings(group="other"))
    running = asyncio.create_task(worker.run(asyncio.Event()))
    try:
        with contextlib.suppress(TimeoutError):
            await until(lambda: wanted in str(worker.waiting_for), 30)
        return str(worker.waiting_for)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


PARTS: dict[str, Part] = {"node": node, "sink": sink}
#: What `evometrics` is given for the other parts; FILE is one to import, ID that of a dead letter.
COMMANDS = {
    "stream": ("stream",),
    "topics": ("topics", "--partitions", "2"),
    "import": ("import", "FILE"),
    "replay": ("replay", "--source", "kafka"),
    "republish": ("republish", "--no-wait", "--among-others"),
    "dead-letters": ("dead-letters", "retry", "ID"),
}


@pytest.fixture(scope="module")
def arguments(
    stack: Running, demo: subprocess.CompletedProcess[str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """What stands for FILE and ID."""
    file = tmp_path_factory.mktemp("history") / "history.db"
    with contextlib.closing(sqlite3.connect(file)) as history:
        history.executescript(SCHEMA)
        history.execute("INSERT INTO system_events (timestamp, event_type, data) VALUES (1.7e9, 'e', '{}')")
        history.commit()
    listed = evometrics("dead-letters", "list", "--json", "--data", str(stack.data))
    return {"FILE": str(file), "ID": json.loads(listed.stdout.splitlines()[0])["event_id"]}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("part", [*PARTS, *COMMANDS])
def test_a_wrong_setting_is_told_apart_by_each_part(
    part: str,
    fault: str,
    secured: Secured,
    stack: Running,
    arguments: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    replaced, wanted = FAULTS[fault]
    stand_for = {"OTHER": str(secured.other_ca), "ELSEWHERE": secured.addresses["ELSEWHERE"]}
    settings = secured.settings(**{name: stand_for.get(value, value) for name, value in replaced.items()})
    began = time.monotonic()
    if part in PARTS:
        said = asyncio.run(PARTS[part](settings, stack, tmp_path, wanted))
    else:
        for name, value in environ(settings).items():
            monkeypatch.setenv(name, value)
        for command in ("stream", "replay"):
            monkeypatch.setattr(f"evometrics.deploy.commands.{command}.set_pace", lambda: None)
        monkeypatch.setattr("evometrics.schemas.kafka.topics.CONNECT_SECONDS", 3.0)
        given = [arguments.get(each, each) for each in COMMANDS[part]]
        assert main([*given, "--data", str(stack.data)]) in (1, 2)
        said = capsys.readouterr().err.strip().splitlines()[-1]
    print(f"{part:14} {fault:10} {time.monotonic() - began:4.1f} s  {said}")
    assert wanted in said
    assert PASSWORD not in said
    if fault == "right":
        assert NEEDS[part] in said


async def test_a_client_of_another_authority_is_refused(secured: Secured) -> None:
    made, key = certificate(secured.other_ca, "of-another")
    settings = secured.settings("SSL", ssl_certfile=str(made), ssl_keyfile=str(key))
    said = str(await why_unusable(KafkaSettings(**settings)))  # type: ignore[arg-type]
    assert f"does not take the certificate in ssl_certfile={made}" in said
    bare = secured.settings("SSL", ssl_certfile="", ssl_keyfile="")
    said = str(await why_unusable(KafkaSettings(**bare)))  # type: ignore[arg-type]
    assert "wants a certificate of its clients" in said


@pytest.mark.parametrize(
    ("listener", "others", "wanted"),
    [
        ("SASL_SSL", {"sasl_mechanism": "PLAIN"}, "does not take sasl_mechanism=PLAIN"),
        ("SSL", {"brokers": "SASL_SSL"}, "log in: set security_protocol=SASL_SSL and sasl_mechanism"),
        (
            "SSL",
            {"brokers": "PLAINTEXT"},
            "does not speak TLS: set security_protocol=PLAINTEXT, or another port",
        ),
        ("PLAINTEXT", {"brokers": "SSL"}, "speaks TLS: set security_protocol=SSL or SASL_SSL"),
        ("PLAINTEXT", {"brokers": "SASL_PLAINTEXT"}, "log in: set security_protocol=SASL_PLAINTEXT and"),
        ("SASL_PLAINTEXT", {"brokers": "PLAINTEXT"}, "takes no login: set security_protocol=PLAINTEXT"),
        ("SASL_SSL", {"brokers": "SASL_PLAINTEXT"}, "set security_protocol=SASL_PLAINTEXT, or another port"),
    ],
)
async def test_each_protocol_on_another_ones_listener_is_told_the_right_one(
    listener: str, others: dict[str, str], wanted: str, secured: Secured
) -> None:
    settings = secured.settings(listener)
    settings |= {name: secured.addresses.get(value, value) for name, value in others.items()}
    assert wanted in str(await why_unusable(KafkaSettings(**settings)))  # type: ignore[arg-type]


@pytest.mark.parametrize("listener", ["SASL_SSL", "SSL", "SASL_PLAINTEXT", "PLAINTEXT"])
async def test_nothing_is_wrong_with_settings_that_are_right(listener: str, secured: Secured) -> None:
    assert await why_unusable(KafkaSettings(**secured.settings(listener))) is None  # type: ignore[arg-type]


RAW = [("topic", topic.name, "WRITE") for topic in RAW_TOPICS]
#: The table in docs/how-to/secure.md.
RIGHTS: dict[str, list[Right]] = {
    "node": [*RAW, ("cluster", "kafka-cluster", "DESCRIBE")],
    "stream": [
        *(("topic", name, "READ") for name in SOURCE_TOPICS),
        *(("topic", topic.name, "WRITE") for topic in (*DERIVED_TOPICS, KPI_SNAPSHOTS, DEAD_LETTERS)),
        ("topic", SCOPE_COUNTS, "WRITE"),
        ("topic", "of-stream-*", "READ WRITE CREATE DESCRIBE_CONFIGS"),
        ("group", "of-stream", "READ"),
    ],
    "sink": [
        *(("topic", topic.name, "READ") for topic in TOPICS),
        ("topic", DEAD_LETTERS.name, "WRITE"),
        ("group", "of-sink", "READ"),
    ],
    "topics": [("topic", "evometrics.*", "CREATE DESCRIBE DESCRIBE_CONFIGS ALTER_CONFIGS")],
    "import": [
        *(("topic", topic.name, "READ WRITE") for topic in RAW_TOPICS),
        *(("topic", topic.name, "DESCRIBE") for topic in (*DERIVED_TOPICS, DEAD_LETTERS)),
        ("group", "evometrics-import", "READ"),
        ("group", "evometrics-sink", "DESCRIBE"),
    ],
    "replay": [("topic", name, "READ") for name in (*EVOLUTION_TOPICS, *SNAPSHOT_TOPICS)],
    "republish": [("topic", topic.name, "READ WRITE DESCRIBE_CONFIGS ALTER_CONFIGS") for topic in RAW_TOPICS],
    "dead-letters": [("topic", name, "WRITE") for name in (KPI_SNAPSHOTS.name, SYSTEM_EVENTS.name)],
}


async def recorded_by_node(settings: dict[str, str], _: Running, folder: Path) -> None:
    collector = EvolutionMetricsCollector(config(folder, **settings))
    await collector.start()
    await collector.record_system_event("started", {})
    assert await collector.drain(30), collector.sending.problem
    await collector.stop()


async def run_until_ready(settings: dict[str, str], stack: Running, folder: Path) -> None:
    """Run a stream worker, twice: it finds its own changelogs the second time."""
    for _ in range(2):
        stop = asyncio.Event()
        stream = StreamSettings(group="of-stream", data=str(folder))
        (port,) = free_ports(1)
        kafka = KafkaSettings(**settings, partitions=2)  # type: ignore[arg-type]
        running = asyncio.create_task(run_stream(kafka, stream, HttpAddress(port), stop))
        try:
            await until_ready(f"http://127.0.0.1:{port}/health/ready", running)
        finally:
            stop.set()
            await running


async def sink_until_ready(settings: dict[str, str], stack: Running, _: Path) -> None:
    """Run a sink until it has stored what there is, and a letter for what it can't read."""
    stop = asyncio.Event()
    clickhouse = ClickHouseSettings(url=stack.clickhouse_url)
    kafka = KafkaSettings(**settings)  # type: ignore[arg-type]
    (port,) = free_ports(1)
    running = asyncio.create_task(
        run_sink(kafka, clickhouse, SinkSettings(group="of-sink"), HttpAddress(port), stop)
    )
    try:
        await until_ready(f"http://127.0.0.1:{port}/health/ready", running)
    finally:
        stop.set()
        await running


async def until_ready(url: str, running: asyncio.Task[None]) -> None:
    def ready() -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    async with asyncio.timeout(60):
        while not await asyncio.to_thread(ready):
            assert not running.done(), await running
            await asyncio.sleep(0.1)


WORKING = {"node": recorded_by_node, "stream": run_until_ready, "sink": sink_until_ready}


@pytest.mark.parametrize("part", RIGHTS)
def test_each_part_works_with_the_rights_that_it_needs_and_is_denied_none(
    part: str,
    secured: Secured,
    stack: Running,
    arguments: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asyncio.run(grant(secured, part, RIGHTS[part]))
    settings = secured.settings(sasl_plain_username=part)
    if part in WORKING:
        asyncio.run(WORKING[part](settings, stack, tmp_path))
    else:
        for name, value in environ(settings).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("evometrics.deploy.commands.replay.set_pace", lambda: None)
        given = [arguments.get(each, each) for each in COMMANDS[part]]
        assert main([*given, "--data", str(stack.data)]) == 0
    assert denied(secured, part) == set()
