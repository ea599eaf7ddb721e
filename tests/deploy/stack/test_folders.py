"""A stack keeps to its folder, whatever that is called, and runs nothing that lies where it was started."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from evometrics.deploy.kafka.broker import registered_brokers
from evometrics.deploy.process.child import python
from evometrics.deploy.stack.parts import Preparation
from evometrics.deploy.stack.password import read_password
from evometrics.deploy.stack.stack import LocalStack, StackSettings
from evometrics.deploy.stack.stackfile import StackAddresses
from evometrics.schemas.metrics import OF_STREAMS, Instruments
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.wire.framing import WireFormat
from evometrics.streams.changelog.losses import Losses
from evometrics.streams.settings import StreamSettings
from evometrics.streams.sources.topics import SourceTopics
from evometrics.streams.worker.app import build

#: Each sign means something to one of the parts: a list, an escape, options, a template, another encoding.
NAME = "zoë's, b\\new?key=1&c {id} 50%s #x"


async def nothing(_: StackAddresses) -> None:
    """Prepare nothing."""


NOTHING = Preparation(nothing, nothing)


async def statement(stack: StackAddresses, sql: str) -> str:
    assert stack.password_file is not None
    login = {"X-ClickHouse-User": "default", "X-ClickHouse-Key": read_password(stack.password_file)}
    async with (
        aiohttp.ClientSession(headers=login) as http,
        http.post(stack.clickhouse_url, data=sql) as response,
    ):
        said = (await response.text()).strip()
        assert response.status == 200, said
        return said


async def test_a_stack_lies_in_its_folder_whatever_that_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    data = home / NAME / ".evometrics"
    data.parent.mkdir(parents=True)
    monkeypatch.chdir(data.parent)
    monkeypatch.setenv("LC_ALL", "C")
    settings = StackSettings(data=".evometrics", stream_workers=0, sink_workers=0)
    async with LocalStack(settings, NOTHING, print) as stack:
        assert await registered_brokers(stack.addresses.brokers) == {1}
        at = stack.addresses
        await statement(at, "CREATE DATABASE d")
        await statement(at, "CREATE TABLE d.kept (a Int8) ENGINE = MergeTree ORDER BY a")
        await statement(at, "INSERT INTO d.kept SELECT 1")
        assert await statement(at, "SELECT count() FROM d.kept") == "1"
    assert [each.name for each in home.iterdir()] == [NAME]
    assert [each.name for each in data.parent.iterdir()] == [".evometrics"]
    assert (data / "kafka" / "node-1" / "log" / "meta.properties").exists()
    assert (data / "clickhouse" / "store").is_dir()


def test_the_streams_files_lie_in_such_a_folder_too(tmp_path: Path) -> None:
    folder = tmp_path / NAME / "stream"
    settings = StreamSettings(data=str(folder))
    instruments, kafka = Instruments(CollectorRegistry(), OF_STREAMS), KafkaSettings()
    sources, losses = SourceTopics(kafka, {}, kafka.partitions), Losses(instruments)
    parts = build(kafka, settings, WireFormat(), instruments, lambda _: None, sources, losses)
    assert Path(parts.app.conf.datadir) == folder
    assert folder.is_dir()


@pytest.mark.parametrize("module", ["evometrics.deploy.cli", "evometrics.deploy.clickhouse"])
def test_a_part_runs_no_module_of_the_folder_it_was_started_in(module: str, tmp_path: Path) -> None:
    for name in (
        "argparse.py",
        "random.py",
        "chdb.py",
        "evometrics/__init__.py",
        "evometrics/deploy/cli/main.py",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("raise SystemExit('not a part of it')")
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [*python(module), "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: evometrics" in done.stdout
