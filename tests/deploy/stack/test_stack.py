"""The embedded stack as a whole: its stores, its file, its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import aiohttp
import psutil
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from evometrics.deploy.cli.main import parser
from evometrics.deploy.commands.local import local_stack
from evometrics.deploy.exit_codes import ExitCode
from evometrics.deploy.kafka.broker import plan_nodes, registered_brokers
from evometrics.deploy.kafka.java import MissingPartError
from evometrics.deploy.process.ports import free_ports
from evometrics.deploy.stack.parts import Preparation
from evometrics.deploy.stack.stack import LocalStack, StackSettings
from evometrics.deploy.stack.stackfile import (
    ProcessMark,
    StackAddresses,
    StackRunningError,
    end_leftovers,
    read_stack,
)
from evometrics.schemas.service.settings import SettingsError


async def nothing(_: StackAddresses) -> None:
    """Prepare nothing."""


NOTHING = Preparation(nothing, nothing)


def stores_only(data: Path, **options: str) -> StackSettings:
    return StackSettings(data=str(data), stream_workers=0, sink_workers=0, **options)  # type: ignore[arg-type]


async def test_the_stores_run_between_start_and_stop_and_the_file_tells_where(tmp_path: Path) -> None:
    told: list[str] = []
    back = asyncio.Event()
    prepared: list[StackAddresses] = []

    def hear(line: str) -> None:
        told.append(line)
        if line == "clickhouse is ready again":
            back.set()

    async def topics(addresses: StackAddresses) -> None:
        assert await registered_brokers(addresses.brokers) == {1}
        assert read_stack(tmp_path) is None  # It is still starting.
        prepared.append(addresses)

    async def tables(addresses: StackAddresses) -> None:
        async with aiohttp.ClientSession() as http, http.get(f"{addresses.clickhouse_url}/ping") as response:
            assert response.status == 200
        assert read_stack(tmp_path) is None
        prepared.append(addresses)

    stack = LocalStack(stores_only(tmp_path), Preparation(topics, tables), hear)
    async with stack:
        assert prepared == [stack.addresses] * 2
        assert read_stack(tmp_path) == stack.addresses
        pids = stack.pids()
        with pytest.raises(
            StackRunningError, match=rf"is already running on {tmp_path} \(process {os.getpid()}\)"
        ):
            await LocalStack(stores_only(tmp_path), NOTHING, told.append).start()
        assert read_stack(tmp_path) == stack.addresses  # The one refused did no harm.

        os.kill(pids["clickhouse"], signal.SIGKILL)
        await asyncio.wait_for(back.wait(), timeout=30)
        url = f"{stack.addresses.clickhouse_url}/ping"
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            assert response.status == 200
        noted = json.loads((tmp_path / "stack.json").read_text())["parts"]
        assert noted["clickhouse"]["pid"] == stack.pids()["clickhouse"] != pids["clickhouse"]
        pids = stack.pids()
    assert read_stack(tmp_path) is None
    assert not any(psutil.pid_exists(pid) for pid in pids.values())
    assert f"kafka ready on {stack.addresses.brokers}" in " ".join(told)
    assert sorted(told[-2:]) == ["clickhouse stopped", "kafka stopped"]


async def test_an_interrupt_ends_a_stack_that_still_starts_though_its_script_ignores_it(
    tmp_path: Path,
) -> None:
    """A shell without a terminal starts what has a `&` with SIGINT ignored."""
    command = (sys.executable, "-m", "evometrics.deploy.cli", "up", "--data", str(tmp_path / "data"))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        stack = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        async with asyncio.timeout(90):
            while not (tmp_path / "data" / "stack.lock").exists():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            stack.send_signal(signal.SIGINT)
            said, _ = await stack.communicate()
    finally:
        if stack.returncode is None:
            stack.terminate()
            await stack.wait()
    assert stack.returncode == ExitCode.INTERRUPTED, said
    assert b"Ctrl-C" not in said, "it was not ready yet"


async def layout(brokers: str) -> dict[str, tuple[set[int], str]]:
    """Of each topic: how many copies its partitions have, and how many of them must have a write."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        topics = await admin.describe_topics()
        names = [topic["topic"] for topic in topics]
        wanted = {"min.insync.replicas": ""}
        (configs,) = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name, wanted) for name in names]
        )
        # (error, message, type, name, [(key, value, ...)])
        in_sync = {resource[3]: resource[4][0][1] for resource in configs.resources}
        return {
            topic["topic"]: ({len(p["replicas"]) for p in topic["partitions"]}, in_sync[topic["topic"]])
            for topic in topics
        }
    finally:
        await admin.close()


async def test_a_stack_of_three_brokers_keeps_three_copies_and_restarts_each_broker_on_its_own(
    tmp_path: Path, clickhouse: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    given = [
        "up",
        "--local-brokers",
        "3",
        "--partitions",
        "2",
        "--data",
        str(data),
        "--clickhouse-url",
        clickhouse,
    ]
    config = tmp_path / "settings.toml"
    config.write_text('[clickhouse]\ndatabase = "three_brokers"\n')
    args = parser().parse_args([*given, "--config", str(config)])
    async with local_stack(args, stream_workers=1, sink_workers=0) as stack:
        assert sorted(stack.children()) == ["kafka-1", "kafka-2", "kafka-3", "stream-1"]
        noted = json.loads((data / "stack.json").read_text())
        assert {name: mark["pid"] for name, mark in noted["parts"].items()} == stack.pids()
        assert len(noted["brokers"].split(",")) == 3

        made = await layout(stack.addresses.brokers)
        assert {topic for topic in made if topic.endswith("-changelog")}  # Made by the stream worker.
        assert {"evometrics.kpi.snapshots", "evometrics.dead-letters", "__consumer_offsets"} <= made.keys()
        assert set(map(repr, made.values())) == {repr(({3}, "2"))}

        before = stack.pids()
        killed = stack.children()["kafka-2"]
        os.kill(before["kafka-2"], signal.SIGKILL)
        async with asyncio.timeout(90):
            while "kafka-2 is ready again" not in capsys.readouterr().err:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        after = stack.pids()
        assert {name for name in before if before[name] != after[name]} == {"kafka-2"}
        assert killed.pid == after["kafka-2"]
    with pytest.raises(SettingsError, match=r"local_brokers=1: .* holds a cluster of 3: start that many"):
        await LocalStack(stores_only(data), NOTHING, print).start()
    assert read_stack(data) is None
    assert len(plan_nodes(data / "kafka", 3)) == 3


@pytest.mark.parametrize("given", ["127.0.0.1:9092", "2", "many"])
def test_a_number_of_brokers_is_not_an_address(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("up", "demo"):
        with pytest.raises(SystemExit):
            parser().parse_args([command, "--local-brokers", given])
        told = capsys.readouterr().err
        assert f"'{given}' is not 1 or 3, the number of brokers to start here" in told
        assert "To use a running Kafka instead, give --brokers HOST:PORT" in told


def test_brokers_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="local_brokers=2: a local cluster has 1 or 3 brokers"):
        StackSettings(local_brokers=2)
    with pytest.raises(
        SettingsError, match="local_brokers=3: none is started here besides the one at host:9092"
    ):
        StackSettings(local_brokers=3, external_brokers="host:9092")
    args = parser().parse_args(["up", "--replication", "3", "--data", str(tmp_path)])
    with pytest.raises(SettingsError, match=r"replication=3: .*\(--local-brokers 1\)"):
        local_stack(args)


async def test_running_services_take_the_place_of_the_embedded_ones(
    tmp_path: Path, kafka: str, clickhouse: str
) -> None:
    settings = stores_only(tmp_path, external_brokers=kafka, external_clickhouse=clickhouse)
    async with LocalStack(settings, NOTHING, print) as stack:
        assert (stack.addresses.brokers, stack.addresses.clickhouse_url) == (kafka, clickhouse)
        assert stack.pids() == {}


async def test_services_that_do_not_answer_are_named(tmp_path: Path, kafka: str, clickhouse: str) -> None:
    (port,) = free_ports(1)
    broker, url = f"127.0.0.1:{port}", f"http://127.0.0.1:{port}"
    settings = stores_only(tmp_path, external_brokers=kafka, external_clickhouse=url)
    with pytest.raises(
        MissingPartError, match=f"ClickHouse at {url}: start it .*; omit its URL to have one started here"
    ):
        await LocalStack(settings, NOTHING, print).start()
    settings = stores_only(tmp_path, external_brokers=broker, external_clickhouse=clickhouse)
    with pytest.raises(MissingPartError, match=f"no Kafka answers at {broker}"):
        await LocalStack(settings, NOTHING, print).start()
    with pytest.raises(SettingsError, match="give a URL like"):
        stores_only(tmp_path, external_clickhouse="localhost:8123")
    with pytest.raises(SettingsError, match="host:port"):
        stores_only(tmp_path, external_brokers="localhost")


async def test_a_failed_preparation_leaves_nothing_running(tmp_path: Path, kafka: str) -> None:
    seen: list[int] = []
    stack = LocalStack(stores_only(tmp_path, external_brokers=kafka), NOTHING, print)

    async def fail(_: StackAddresses) -> None:
        seen.extend(stack.pids().values())
        raise RuntimeError("migration 3 failed")

    stack._preparation = Preparation(nothing, fail)
    with pytest.raises(RuntimeError, match="migration 3 failed"):
        await stack.start()
    assert len(seen) == 1
    assert not psutil.pid_exists(seen[0])
    async with LocalStack(stores_only(tmp_path, external_brokers=kafka), NOTHING, print):
        pass  # The folder is free again.


async def test_what_a_killed_stack_left_is_ended_but_never_a_stranger(tmp_path: Path) -> None:
    left = await asyncio.create_subprocess_exec("sleep", "600")
    stranger = await asyncio.create_subprocess_exec("sleep", "600")
    try:
        marks = {
            "kafka": {"pid": left.pid, "started": ProcessMark.of(left.pid).started},
            "sink-1": {"pid": stranger.pid, "started": ProcessMark.of(stranger.pid).started - 3600},
        }
        (tmp_path / "stack.json").write_text(json.dumps({"parts": marks}))
        assert end_leftovers(tmp_path) == ["kafka"]
        await left.wait()
        assert not psutil.pid_exists(left.pid)
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()
