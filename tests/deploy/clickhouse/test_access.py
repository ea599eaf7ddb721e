"""Logins, hosts and the settings of the embedded ClickHouse's users."""

from __future__ import annotations

import asyncio

import pytest

from evometrics.deploy.clickhouse import access as logins
from evometrics.deploy.clickhouse.__main__ import main
from evometrics.deploy.clickhouse.access import (
    FORGET_SECONDS,
    LONGEST_DELAY,
    LONGEST_TURN,
    REMEMBERED,
    Access,
    Throttle,
)
from evometrics.deploy.clickhouse.exchange import EngineError
from evometrics.deploy.clickhouse.settings import ServerSettings
from evometrics.deploy.clickhouse.users import User
from evometrics.deploy.clickhouse.web_guard import web_guard
from evometrics.schemas.service.settings import SettingsError

HERE, THERE = "127.0.0.1", "10.1.2.3"


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_each_wrong_password_costs_twice_the_one_before_up_to_a_limit() -> None:
    throttle = Throttle(Clock())
    delays = [throttle.failed(HERE, "default") for _ in range(12)]
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8] and delays[-1] == LONGEST_DELAY
    assert throttle.failed(HERE, "analyst") == 0.1
    assert throttle.failed(THERE, "default") == 0.1


def test_wrong_passwords_are_forgotten_after_a_right_one_and_with_time() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    throttle.failed(HERE, "default")
    throttle.succeeded(HERE, "default")
    assert throttle.failed(HERE, "default") == 0.1
    clock.now += FORGET_SECONDS + 1
    assert throttle.failed(HERE, "default") == 0.1


def test_no_more_than_so_many_addresses_are_remembered() -> None:
    throttle = Throttle(Clock())
    for number in range(REMEMBERED + 100):
        throttle.failed(f"10.0.{number // 256}.{number % 256}", "default")
    assert len(throttle) == REMEMBERED


def test_attempts_of_another_machine_take_turns_however_many_connections_it_has() -> None:
    throttle = Throttle(Clock())
    assert throttle.turn(THERE, "default") == 0.0
    for _ in range(6):
        throttle.failed(THERE, "default")
    turns = [throttle.turn(THERE, "default") for _ in range(20)]
    assert turns[:3] == pytest.approx([0.0, 3.2, 6.4])
    assert turns[-1] > LONGEST_TURN and turns[-1] == turns[-2], "no further ahead than that"


async def test_a_right_password_is_not_kept_waiting_by_wrong_ones_on_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logins, "FIRST_DELAY", 60.0)
    monkeypatch.setattr(logins, "LONGEST_DELAY", 60.0)
    access = Access([User("default", "right")])

    async def wrong() -> None:
        with pytest.raises(EngineError, match="default: Authentication failed"):
            await access.login(HERE, "default", "wrong")

    guesses = [asyncio.create_task(wrong()) for _ in range(8)]
    await asyncio.sleep(0)
    assert (await access.login(HERE, "default", "right")).name == "default"
    assert not any(guess.done() for guess in guesses)
    for guess in guesses:
        guess.cancel()


@pytest.mark.parametrize("name", ["", "stranger", "DEFAULT"])
async def test_only_the_users_names_log_in(name: str) -> None:
    access = Access([User("default"), User("analyst")])
    with pytest.raises(EngineError) as refused:
        await access.login(HERE, name, "")
    assert refused.value.code == 516


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "::", "clickhouse.internal"])
def test_an_address_that_others_reach_needs_passwords(host: str) -> None:
    with pytest.raises(SettingsError, match="EVOMETRICS_CLICKHOUSE_SERVER_PASSWORD"):
        ServerSettings(host=host)
    with pytest.raises(SettingsError, match="EVOMETRICS_CLICKHOUSE_SERVER_READER_PASSWORD"):
        ServerSettings(host=host, password="p")
    assert len(ServerSettings(host=host, password="p", reader="").users) == 1
    assert len(ServerSettings(host=host, password="p", reader_password="q").users) == 2


def test_the_command_says_so_and_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--host", "0.0.0.0", "--path", "/nonexistent"]) == 2
    assert "setting host='0.0.0.0': others reach this address" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_this_machines_own_addresses_need_none(host: str) -> None:
    assert [user.password for user in ServerSettings(host=host).users] == ["", ""]


def test_a_reader_is_not_the_writer_and_reads_something() -> None:
    with pytest.raises(SettingsError, match="reader='default': is the writer's name too"):
        ServerSettings(reader="default")
    with pytest.raises(SettingsError, match="reader_databases"):
        ServerSettings(reader_databases=" ,")
    (_, user) = ServerSettings(reader_databases="evometrics, more").users
    assert user.reader is not None and user.reader.databases == ("evometrics", "more")


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("10.1.2.3:8123", True),
        ("[fe80::1]:8123", True),
        ("LOCALHOST:8123", True),
        ("bound.internal", True),
        ("ch.example.com:8123", True),
        ("example.com", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com:8123", False),
    ],
)
def test_addresses_and_names_that_were_given_are_ours(host: str, ours: bool) -> None:
    guard = web_guard("bound.internal", "other.internal, ch.example.com", "")
    assert (guard.refusal({"Host": host}) is None) == ours


def test_a_page_that_was_allowed_may_ask_and_read_the_answer() -> None:
    guard = web_guard("127.0.0.1", "", "https://dash.example/, https://Two.example")
    headers = {"Host": "127.0.0.1:8123", "Origin": "https://two.example", "Sec-Fetch-Site": "cross-site"}
    assert guard.refusal(headers) is None
    assert guard.cors(headers)["Access-Control-Allow-Origin"] == "https://two.example"
    assert guard.cors(headers | {"Origin": "https://three.example"}) == {}
    assert guard.refusal(headers | {"Origin": "https://three.example"}) is not None
