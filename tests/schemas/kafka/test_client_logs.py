"""An unreachable broker is complained of once, not at each attempt, and other brokers' complaints stay."""

from __future__ import annotations

import contextlib
import logging
import socket
from pathlib import Path

import aiokafka
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from evometrics.schemas.kafka.client_logs import LOGGERS, SAID_FOR, SAID_ONCE, UNREACHABLE, calm
from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.service.settings import KafkaSettings

SOURCES = ("client", *(name.removeprefix("aiokafka.").replace(".", "/") for name in LOGGERS[1:]))


async def attempt(address: str) -> None:
    producer = AIOKafkaProducer(**client_options(KafkaSettings(brokers=address)))
    with contextlib.suppress(KafkaConnectionError):
        await producer.start()
    await producer.stop()


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


async def test_an_unreachable_broker_is_logged_once_by_the_client_however_often_it_is_tried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "aiokafka")  # whatever level other tests have left
    one, other = closed_port(), closed_port()
    for address in (one, one, one, other, one):
        await attempt(address)
    logged = [record.getMessage() for record in caplog.records if record.name == "aiokafka"]
    assert [sum(address in line for line in logged) for address in (one, other)] == [1, 1]


def test_it_is_logged_again_after_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    record = logging.LogRecord("aiokafka", logging.ERROR, "", 0, "Unable connect to %s", ("far",), None)
    now = 5000.0
    monkeypatch.setattr("evometrics.schemas.kafka.client_logs.time.monotonic", lambda: now)
    assert [SAID_ONCE.filter(record), SAID_ONCE.filter(record)] == [True, False]
    now += SAID_FOR
    assert [SAID_ONCE.filter(record), SAID_ONCE.filter(record)] == [True, False]


@pytest.mark.parametrize(
    ("name", "line", "args"),
    [
        ("aiokafka.consumer.fetcher", "Failed fetch messages from %s: %s", (31, "NodeNotReadyError")),
        ("aiokafka.producer.sender", "Got error produce response: %s", ("KafkaConnectionError: 31",)),
        ("aiokafka.consumer.group_coordinator", "Group Coordinator Request failed: %s", ("31",)),
    ],
)
def test_a_worker_complains_once_of_a_broker_that_restarts_and_goes_on_with_everything_else(
    name: str, line: str, args: tuple[object, ...], caplog: pytest.LogCaptureFixture
) -> None:
    calm()
    caplog.set_level(logging.WARNING, name)
    for _ in range(40):
        logging.getLogger(name).error(line, *args)
        logging.getLogger(name).error("Unexpected error in %s", name)
    logged = [record.getMessage() for record in caplog.records if record.name == name]
    assert [logged.count(line % args), len(logged)] == [1, 41]


def test_the_client_has_the_loggers_and_the_lines() -> None:
    """Otherwise nothing would be calm after an update."""
    folder = Path(aiokafka.__file__).parent
    text = "".join((folder / f"{name}.py").read_text() for name in SOURCES)
    assert [start for start in UNREACHABLE if f'"{start}' not in text and f"'{start}" not in text] == []
    assert all(
        "log = logging.getLogger(__name__)" in (folder / f"{name}.py").read_text() for name in SOURCES[1:]
    )
