"""All parts on a Kafka that wants TLS, a login and rights, and what each says where a setting is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.partitioner import murmur2

from evometrics.deploy.cli.main import main
from evometrics.deploy.pipeline.drain import drain, pipeline_groups
from evometrics.deploy.pipeline.rights import PREFIX, Right
from evometrics.producers import EvolutionMetricsCollector
from evometrics.schemas.events import EVENT_CLASSES
from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.kafka.reaching import why_unusable
from evometrics.schemas.kafka.topics import answered, create_missing
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import (
    BY_RECORD,
    CUSTOM_METRICS,
    KPI_SNAPSHOTS,
    RAW_TOPICS,
    SYSTEM_EVENTS,
    TOPICS,
)
from evometrics.sinks.settings import ClickHouseSettings, SinkSettings
from evometrics.sinks.worker.worker import SinkWorker
from evometrics.streams.settings import StreamSettings
from evometrics.streams.sources.topics import EVOLUTION_TOPICS
from tests.support.certificates import certificate
from tests.support.generator import Load
from tests.support.history_files import SCHEMA
from tests.support.kafka_tools import put_kafka_acls
from tests.support.load import send_all
from tests.support.migrated import copied
from tests.support.model import SECOND, Expected, differences, expected
from tests.support.outboxes import config, until
from tests.support.secured import (
    PASSWORD,
    ROLES,
    STRANGER,
    USER,
    Secured,
    acls,
    denied,
    environ,
    grant,
    known_everywhere,
    secured_nodes,
    unused,
)
from tests.support.stack import Running, evometrics, evometrics_here, running_stack
from tests.support.tables import PASSWORDS, rows

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


#: Hours of events that end hours ago: what the demo records now comes after them.
LOAD = Load(seed=16, begin=(int(time.time()) - 40 * 3600) * SECOND, agents=30, evolutions=300, nodes=2)
PARTITIONS = 2


#: Roles whose users are given their rights as an administrator does: by what `topics --acls` prints.
BY_COMMAND = ("topics", "sink")


PLAIN = {
    "sasl_mechanism": "PLAIN",
    "sasl_plain_username": USER,
    "sasl_plain_password": PASSWORD,
    "sasl_oauth_token_provider": "",
}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Three brokers, on which each role's user has the rights of that role."""
    for running in secured_nodes(tmp_path_factory.mktemp("secured"), 3):
        by_us = {name: role.rights for name, role in ROLES.items() if name not in BY_COMMAND}
        asyncio.run(grant(running, by_us))
        grant_by_command(running, tmp_path_factory.mktemp("kafka-acls"))
        yield running


def grant_by_command(secured: Secured, folder: Path) -> None:
    """Run what `topics --acls` prints with Kafka's own command."""
    put_kafka_acls(folder)
    (folder / "admin.properties").write_text(
        "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\n"
        f"ssl.truststore.type=PEM\nssl.truststore.location={secured.tls.ca}\n"
        "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required "
        f'username="{USER}" password="{PASSWORD}";\n'
    )
    named = [word for role in ROLES for word in ("--principal", f"{role}=User:{role}")]
    printed = evometrics_here("topics", "--acls", "--brokers", secured.addresses["SASL_SSL"], *named)
    assert printed.returncode == 0, printed.stderr
    ours = [
        line for line in printed.stdout.splitlines() if re.search(rf"User:({'|'.join(BY_COMMAND)}) ", line)
    ]
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    script = "\n".join(ours)
    done = subprocess.run(
        ["sh", "-e"],
        input=script,
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for role in BY_COMMAND:
        number = len(set(acls(role, ROLES[role].rights)))
        asyncio.run(known_everywhere(secured, role, number))


@pytest.fixture(scope="module")
def variables(secured: Secured, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, str]]:
    """What `evometrics` is told for a user, with the password in a file, as containers have it."""
    file = tmp_path_factory.mktemp("secrets") / "kafka-password"
    file.write_text(f"{PASSWORD}\n")

    def of(user: str) -> dict[str, str]:
        settings = secured.settings(sasl_plain_username=user, sasl_plain_password="", brokers="")
        return {**environ(settings), "EVOMETRICS_KAFKA_SASL_PLAIN_PASSWORD_FILE": str(file)}

    return of


@pytest.fixture(scope="module")
def stack(
    secured: Secured,
    variables: Callable[[str], dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
    migrated_folder: Path,
) -> Iterator[Running]:
    """A stream worker, a sink and ClickHouse on the secured Kafka; each part connects as its role's user."""
    data = tmp_path_factory.mktemp("stack") / "data"
    copied(migrated_folder, data / "clickhouse")
    flags = ("--brokers", secured.addresses["SASL_SSL"], "--replication", "3")
    build = "tests.support.principals"
    with running_stack(data, PARTITIONS, *flags, build=build, **variables("topics")) as running:
        yield running


@pytest.fixture(scope="module")
def load(secured: Secured, stack: Running, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Generated evolutions, recorded by two nodes; events by topic."""
    settings = environ(secured.settings(sasl_plain_username="node", brokers=""))
    with mock.patch.dict(os.environ, settings):
        return send_all(LOAD, secured.addresses["SASL_SSL"], tmp_path_factory.mktemp("outboxes"))


@pytest.fixture(scope="module")
def demo(
    secured: Secured,
    stack: Running,
    load: dict[str, int],
    variables: Callable[[str], dict[str, str]],
) -> subprocess.CompletedProcess[str]:
    """The demo, with a message that nobody can read before it; its arguments and those of all parts."""
    asyncio.run(send(secured.settings(), KPI_SNAPSHOTS.name, [b"nothing"]))
    arguments = ("--agents", "4", "--evolutions", "24", "--nodes", "2", "--json")
    command = [sys.executable, "-m", "evometrics.deploy.cli", "demo", "--data", str(stack.data), *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | variables("demo")
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
    stack: Running, demo: subprocess.CompletedProcess[str], variables: Callable[[str], dict[str, str]]
) -> None:
    said = {"demo": demo.stdout + demo.stderr, "up": stack.log.read_text()}
    said |= {str(file): file.read_text() for file in stack.data.glob("logs/*.log")}
    said["stack.json"] = (stack.data / "stack.json").read_text()
    for name, url in stack.metrics_urls.items():
        for path in ("/metrics", "/health/live", "/health/ready"):
            with urllib.request.urlopen(url.replace("/metrics", path), timeout=60) as answer:
                said[f"{name}{path}"] = answer.read().decode()
    shown = evometrics("config", "--data", str(stack.data), **variables(USER))
    said["config"] = shown.stdout + shown.stderr
    assert USER in said["config"] and "***" in said["config"]
    assert len(said) >= 10
    assert [name for name, text in said.items() if PASSWORD in text] == []


async def test_a_node_records_with_a_client_certificate(
    secured: Secured, stack: Running, tmp_path: Path
) -> None:
    """Kafka takes the whole subject of a certificate for the user's name."""
    made, key = certificate(secured.tls.ca, "node-7")
    await grant(secured, {"CN=node-7": ROLES["node"].rights})
    settings = secured.settings("SSL", ssl_certfile=str(made), ssl_keyfile=str(key))
    collector = EvolutionMetricsCollector(config(tmp_path, **settings))
    await collector.start()
    await collector.record_system_event("started", {})
    assert await collector.drain(30)
    assert collector.published["evometrics.system.events"]
    await collector.stop()
    assert denied(secured, "CN=node-7") == set()


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


def test_topics_that_an_administrator_has_made_right_take_no_right_to_create_or_alter(
    secured: Secured, stack: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made, key = certificate(secured.tls.ca, "looks-only")
    looks = Right("topic", ("evometrics.",), ("DESCRIBE", "DESCRIBE_CONFIGS"), prefixed=True)
    asyncio.run(grant(secured, {"CN=looks-only": [looks]}))
    settings = secured.settings("SSL", ssl_certfile=str(made), ssl_keyfile=str(key))
    for name, value in environ(settings).items():
        monkeypatch.setenv(name, value)
    flags = ("--partitions", str(PARTITIONS), "--replication", "3", "--data", str(stack.data))
    assert main(["topics", *flags]) == 0
    said = capsys.readouterr()
    assert said.out.count(" exists\n") == len(TOPICS) + 1
    assert said.err == ""
    assert denied(secured, "CN=looks-only") == set()


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
    url = stack.clickhouse_url
    clickhouse = ClickHouseSettings(url=url, password=PASSWORDS[url])
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
    "topics": ("topics", "--partitions", str(PARTITIONS)),
    "import": ("import", "FILE"),
    "replay": ("replay", "--source", "kafka"),
    "republish": ("republish", "--among-others"),
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
    stand_for = {"OTHER": str(secured.tls.other_ca), "ELSEWHERE": secured.addresses["ELSEWHERE"]}
    settings = secured.settings(**{name: stand_for.get(value, value) for name, value in replaced.items()})
    began = time.monotonic()
    if part in PARTS:
        said = asyncio.run(PARTS[part](settings, stack, tmp_path, wanted))
    else:
        for name, value in environ(settings).items():
            monkeypatch.setenv(name, value)
        for command in ("stream", "replay"):
            monkeypatch.setattr(f"evometrics.deploy.commands.{command}.set_pace", lambda: None)
        given = [arguments.get(each, each) for each in COMMANDS[part]]
        assert main([*given, "--data", str(stack.data)]) in (1, 2)
        said = capsys.readouterr().err.strip().splitlines()[-1]
    print(f"{part:14} {fault:10} {time.monotonic() - began:4.1f} s  {said}")
    assert wanted in said
    assert PASSWORD not in said
    if fault == "right":
        assert f"`evometrics topics --acls` prints all that {part} needs" in said


@pytest.mark.parametrize(
    ("right", "wrong", "wanted"),
    [
        ({}, {"sasl_oauth_token_provider": "tests.support.tokens:OutdatedTokens"}, "login by OAUTHBEARER"),
        (PLAIN, PLAIN | {"sasl_plain_password": "wrong"}, f"login of {USER} by PLAIN"),
    ],
    ids=["OAUTHBEARER", "PLAIN"],
)
async def test_a_node_records_by_another_mechanism_and_is_told_that_its_login_is_refused(
    right: dict[str, str],
    wrong: dict[str, str],
    wanted: str,
    secured: Secured,
    stack: Running,
    tmp_path: Path,
) -> None:
    collector = EvolutionMetricsCollector(config(tmp_path, **secured.settings("OTHERS", **right)))
    await collector.start()
    await collector.record_system_event("started", {})
    assert await collector.drain(60), collector.sending.problem
    await collector.stop()
    said = await why_unusable(KafkaSettings(**secured.settings("OTHERS", **wrong)))  # type: ignore[arg-type]
    assert wanted in str(said)


async def test_a_client_of_another_authority_is_refused(secured: Secured) -> None:
    made, key = certificate(secured.tls.other_ca, "of-another")
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


@pytest.mark.parametrize("listener", ["SASL_SSL", "SSL", "SASL_PLAINTEXT", "PLAINTEXT", "OTHERS"])
async def test_nothing_is_wrong_with_settings_that_are_right(listener: str, secured: Secured) -> None:
    assert await why_unusable(KafkaSettings(**secured.settings(listener))) is None  # type: ignore[arg-type]


async def recorded_by_node(settings: dict[str, str], _: Running, folder: Path) -> None:
    collector = EvolutionMetricsCollector(config(folder, **settings))
    await collector.start()
    await collector.record_system_event("started", {})
    assert await collector.drain(30), collector.sending.problem
    await collector.stop()


async def started_again(_: dict[str, str], stack: Running, __: Path) -> None:
    """Have the stream worker start once more: it finds its own changelogs now."""
    before = stack.pids()["stream-1"]
    os.kill(before, signal.SIGKILL)
    url = stack.metrics_urls["stream-1"].replace("/metrics", "/health/ready")

    def ready() -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=60) as answer:
            return bool(answer.status == 200) and stack.pids()["stream-1"] != before
        return False

    await until(ready, 90)


async def nothing_more(_: dict[str, str], __: Running, ___: Path) -> None:
    """For parts that have run under their rights all the time."""


RUNNING = {"node": recorded_by_node, "stream": started_again, "sink": nothing_more, "demo": nothing_more}


@pytest.mark.parametrize("role", [name for name in ROLES if name != "topics-anew"])
def test_each_role_works_with_its_rights_alone_and_is_denied_none(
    role: str,
    secured: Secured,
    stack: Running,
    arguments: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = secured.settings(sasl_plain_username=role)
    if role in RUNNING:
        asyncio.run(RUNNING[role](settings, stack, tmp_path))
    else:
        for name, value in environ(settings).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("evometrics.deploy.commands.replay.set_pace", lambda: None)
        given = [arguments.get(each, each) for each in COMMANDS[role]]
        assert main([*given, "--data", str(stack.data)]) == 0
    assert denied(secured, role) == set()


@pytest.fixture(scope="module")
def wanted(secured: Secured, stack: Running) -> Expected:
    """What all events that are stored must have led to, once all is processed."""
    groups = pipeline_groups(StreamSettings().group, SinkSettings().group)
    asyncio.run(drain(KafkaSettings(**secured.settings()), groups, 180))  # type: ignore[arg-type]
    events = [
        EVENT_CLASSES[record](**row)
        for record in ("evolution_started", "evolution_completed", "kpi_snapshot")
        for row in rows(stack.clickhouse_url, record).values()
        if row.get("source_event_id") is None
    ]
    return expected(events, lambda agent: (murmur2(agent.encode()) & 0x7FFFFFFF) % PARTITIONS)


@pytest.mark.parametrize("record", ["evolution_metrics", "kpi_delta", "success_rate"])
def test_every_derived_row_is_the_models_after_all_commands(
    record: str, demo: subprocess.CompletedProcess[str], stack: Running, wanted: Expected
) -> None:
    model = getattr(wanted, BY_RECORD[record].table)
    assert len(model) > LOAD.evolutions
    assert differences(model, rows(stack.clickhouse_url, record))[:20] == []


def test_topics_are_made_anew_with_the_rights_for_it(
    secured: Secured, stack: Running, wanted: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last that needs what is on the topics."""
    for name, value in environ(secured.settings(sasl_plain_username="topics-anew")).items():
        monkeypatch.setenv(name, value)
    assert (
        main(["topics", "--anew", "--partitions", "4", "--replication", "3", "--data", str(stack.data)]) == 0
    )
    for user in ROLES:
        assert denied(secured, user) == set()


#: Rights that nothing here has occasion to use: no event is in another partition than its agent's, all topics
#: are right, the file that is imported has system events alone, and one message is sent again.
WITHOUT_OCCASION = {
    "stream": {("WRITE", name) for name in EVOLUTION_TOPICS},
    "topics": {("ALTER_CONFIGS", PREFIX)},
    "topics-anew": {("ALTER_CONFIGS", PREFIX)},
    "demo": {("WRITE", CUSTOM_METRICS.name)},
    "import": {("WRITE", topic.name) for topic in RAW_TOPICS if topic is not SYSTEM_EVENTS},
    "dead-letters": {
        ("WRITE", topic.name) for topic in TOPICS if topic not in (KPI_SNAPSHOTS, SYSTEM_EVENTS)
    },
}


@pytest.mark.parametrize("role", ROLES)
def test_no_role_has_a_right_that_it_does_not_use(role: str, secured: Secured) -> None:
    """After all others: a right is used by one of them."""
    assert unused(secured, role, ROLES[role].rights) == WITHOUT_OCCASION.get(role, set())
