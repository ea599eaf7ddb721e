"""`evometrics ui`: whose pages it serves, as whom it reads, and where dead letters may be sent to again."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import aiohttp
import pytest

from evometrics.deploy.cli.main import parser
from evometrics.deploy.commands import ui
from evometrics.deploy.commands.up import pages_installed
from evometrics.deploy.exit_codes import ExitCode
from evometrics.deploy.stack.password import writers_password
from evometrics.deploy.stack.stackfile import StackAddresses, read_stack, write_stack
from evometrics.deploy.ui.server import serve
from evometrics.sinks.settings import ClickHouseSettings
from tests.support.stack import evometrics_here

URL = "http://127.0.0.1:18123"
PAGES = "http://127.0.0.1:18124/"
ELSEWHERE = ("--clickhouse-url", "http://elsewhere:8123")


@pytest.fixture
def stack(tmp_path: Path) -> StackAddresses:
    """A stack of this process on a folder, as far as commands can tell, which serves the pages."""
    file = writers_password(tmp_path)
    made = StackAddresses(
        "127.0.0.1:1", URL, {}, tmp_path.resolve(), "default", "analyst", file, pages_url=PAGES
    )
    write_stack(made, {}, True)
    assert read_stack(tmp_path) == made
    return made


def asked(stack: StackAddresses, *flags: str) -> argparse.Namespace:
    return parser().parse_args(["ui", "--data", str(stack.data), *flags])


def test_the_pages_of_the_running_stack_are_not_served_twice(stack: StackAddresses) -> None:
    found = evometrics_here("ui", "--data", str(stack.data))
    assert found.returncode == ExitCode.DONE
    assert found.stderr == f"pages: {PAGES} (the stack on {stack.data} serves them)\n"


@pytest.mark.parametrize(
    ("flags", "served"),
    [
        ((), PAGES),
        (("--clickhouse-url", URL), PAGES),
        (ELSEWHERE, None),
        (("--port", "18125"), None),
        (("--host", "0.0.0.0"), None),
        (("--name", "pages.example.org"), None),
        (("--clickhouse-user", "default"), None),
        (("--database", "other"), None),
    ],
)
def test_others_are_served_as_they_are_asked_for(
    stack: StackAddresses, flags: tuple[str, ...], served: str | None
) -> None:
    assert ui.served_already(asked(stack, *flags), stack) == served


@pytest.mark.parametrize(
    ("flags", "variables", "user", "password"),
    [
        ((), {}, "analyst", ""),
        (("--clickhouse-url", URL), {}, "analyst", ""),
        ((), {"EVOMETRICS_CLICKHOUSE_PASSWORD": "the writer's"}, "analyst", ""),
        ((), {"EVOMETRICS_CLICKHOUSE_SERVER_READER_PASSWORD": "theirs"}, "analyst", "theirs"),
        (ELSEWHERE, {"EVOMETRICS_CLICKHOUSE_PASSWORD": "mine"}, "default", "mine"),
        (("--clickhouse-user", "me"), {"EVOMETRICS_CLICKHOUSE_PASSWORD": "mine"}, "me", "mine"),
    ],
)
def test_pages_read_the_stacks_clickhouse_as_its_reader(
    stack: StackAddresses,
    monkeypatch: pytest.MonkeyPatch,
    flags: tuple[str, ...],
    variables: dict[str, str],
    user: str,
    password: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = ui.read_from(asked(stack, *flags), stack)
    assert (settings.user, settings.password) == (user, password)


@pytest.mark.parametrize(
    ("flags", "brokers"),
    [
        ((), "127.0.0.1:1"),
        (ELSEWHERE, None),
        ((*ELSEWHERE, "--brokers", "kafka:9092"), "kafka:9092"),
        (("--host", "192.0.2.1"), None),
        (("--name", "pages.example.org"), None),
        (("--host", "0.0.0.0", "--brokers", "kafka:9092"), None),
        (("--host", "::1"), "127.0.0.1:1"),
    ],
)
def test_messages_are_sent_again_to_a_kafka_that_is_known_and_from_this_machine_only(
    stack: StackAddresses, flags: tuple[str, ...], brokers: str | None
) -> None:
    upstream = ui.upstream_of(asked(stack, *flags), stack)
    assert (upstream and upstream.kafka.brokers) == brokers
    assert upstream is None or [each.name for each in upstream.groups] == [
        "evometrics-stream",
        "evometrics-sink",
    ]


def test_without_the_extra_the_stack_runs_without_pages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pages_installed()
    monkeypatch.setitem(sys.modules, "altair", None)
    assert not pages_installed()
    told = capsys.readouterr().err
    assert told == "no pages: they need altair, which is not installed: pip install 'evometrics[ui]'\n"


@pytest.mark.parametrize(
    "name", ["https://pages.example.org", "pages:8080", "", "a/b", "-pages", "pages..org"]
)
def test_what_is_no_hosts_name_is_refused_and_named(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["ui", f"--name={name}"])
    assert f"{name!r} is not a host's name, such as pages.example.org" in capsys.readouterr().err


async def test_behind_a_proxy_the_pages_answer_to_its_names_and_to_no_other(
    clickhouse: str, stack: StackAddresses
) -> None:
    args = asked(
        stack, "--clickhouse-url", clickhouse, "--name", "Pages.Example.org", "--name", "metrics.lan"
    )
    told: asyncio.Queue[str] = asyncio.Queue()
    stopping = asyncio.Event()
    settings = ClickHouseSettings(url=clickhouse)
    serving = asyncio.create_task(
        serve(settings, None, args.host, args.port, told.put_nowait, stopping, args.name)
    )
    url = await asyncio.wait_for(told.get(), 60)
    async with aiohttp.ClientSession() as http:
        found = {}
        for host in ("pages.example.org", "metrics.lan:8443", "localhost", "127.0.0.1", "evil.example"):
            async with http.get(f"{url}health/live", headers={"Host": host}) as answer:
                found[host] = answer.status
    stopping.set()
    await serving
    assert found == {
        "pages.example.org": 200,
        "metrics.lan:8443": 200,
        "localhost": 200,
        "127.0.0.1": 200,
        "evil.example": 421,
    }
