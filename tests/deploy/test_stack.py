"""The embedded stack as a whole: its stores, its file, its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import aiohttp
import psutil
import pytest

from evometrics.deploy.broker import brokers_registered
from evometrics.deploy.java import MissingPartError
from evometrics.deploy.ports import free_ports
from evometrics.deploy.stack import LocalStack, StackSettings
from evometrics.deploy.stackfile import (
    ProcessMark,
    StackAddresses,
    StackRunningError,
    end_leftovers,
    read_stack,
)
from evometrics.schemas.settings import SettingsError


async def nothing(_: StackAddresses) -> None:
    """Prepare nothing."""


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

    async def prepare(addresses: StackAddresses) -> None:
        assert await brokers_registered(addresses.brokers) == 1
        assert read_stack(tmp_path) is None  # It is still starting.
        prepared.append(addresses)

    stack = LocalStack(stores_only(tmp_path), prepare, hear)
    async with stack:
        assert prepared == [stack.addresses]
        assert read_stack(tmp_path) == stack.addresses
        pids = stack.pids()
        with pytest.raises(StackRunningError, match=rf"already runs on {tmp_path} \(process {os.getpid()}\)"):
            await LocalStack(stores_only(tmp_path), nothing, told.append).start()
        assert read_stack(tmp_path) == stack.addresses  # The one refused did no harm.

        os.kill(pids["clickhouse"], signal.SIGKILL)
        await asyncio.wait_for(back.wait(), timeout=30)
        async with aiohttp.ClientSession() as http, http.get(stack.addresses.clickhouse_url) as response:
            assert response.status == 200
        noted = json.loads((tmp_path / "stack.json").read_text())["parts"]
        assert noted["clickhouse"]["pid"] == stack.pids()["clickhouse"] != pids["clickhouse"]
        pids = stack.pids()
    assert read_stack(tmp_path) is None
    assert not any(psutil.pid_exists(pid) for pid in pids.values())
    assert f"kafka ready on {stack.addresses.brokers}" in " ".join(told)
    assert sorted(told[-2:]) == ["clickhouse stopped", "kafka stopped"]


async def test_running_services_take_the_place_of_the_embedded_ones(
    tmp_path: Path, kafka: str, clickhouse: str
) -> None:
    settings = stores_only(tmp_path, external_broker=kafka, external_clickhouse=clickhouse)
    async with LocalStack(settings, nothing, print) as stack:
        assert (stack.addresses.brokers, stack.addresses.clickhouse_url) == (kafka, clickhouse)
        assert stack.pids() == {}


async def test_services_that_do_not_answer_are_named(tmp_path: Path, kafka: str, clickhouse: str) -> None:
    (port,) = free_ports(1)
    broker, url = f"127.0.0.1:{port}", f"http://127.0.0.1:{port}"
    settings = stores_only(tmp_path, external_broker=kafka, external_clickhouse=url)
    with pytest.raises(MissingPartError, match=f"no ClickHouse answers at {url}"):
        await LocalStack(settings, nothing, print).start()
    settings = stores_only(tmp_path, external_broker=broker, external_clickhouse=clickhouse)
    with pytest.raises(MissingPartError, match=f"no Kafka answers at {broker}"):
        await LocalStack(settings, nothing, print).start()
    with pytest.raises(SettingsError, match="give a URL like"):
        stores_only(tmp_path, external_clickhouse="localhost:8123")
    with pytest.raises(SettingsError, match="host:port"):
        stores_only(tmp_path, external_broker="localhost")


async def test_a_failed_preparation_leaves_nothing_running(tmp_path: Path, kafka: str) -> None:
    seen: list[int] = []
    stack = LocalStack(stores_only(tmp_path, external_broker=kafka), nothing, print)

    async def fail(_: StackAddresses) -> None:
        seen.extend(stack.pids().values())
        raise RuntimeError("migration 3 failed")

    stack._prepare = fail
    with pytest.raises(RuntimeError, match="migration 3 failed"):
        await stack.start()
    assert len(seen) == 1
    assert not psutil.pid_exists(seen[0])
    async with LocalStack(stores_only(tmp_path, external_broker=kafka), nothing, print):
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
        assert await left.wait() == -signal.SIGKILL
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()
