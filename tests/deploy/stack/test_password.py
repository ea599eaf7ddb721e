"""The password of the stack's ClickHouse: who has it, and who is told."""

from __future__ import annotations

import argparse
import os
import stat
from pathlib import Path

import pytest

from evometrics.deploy.cli.main import parser
from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.clickhouse.settings import ServerSettings
from evometrics.deploy.commands.local import local_stack, server_settings
from evometrics.deploy.commands.up import logins
from evometrics.deploy.console.options import clickhouse_settings
from evometrics.deploy.stack.password import PASSWORD_FILE, read_password, writers_password
from evometrics.deploy.stack.stack import StackSettings
from evometrics.deploy.stack.stackfile import StackAddresses, read_stack, write_stack
from evometrics.schemas.service.settings import SettingsError
from evometrics.sinks.settings import ClickHouseSettings

URL = "http://127.0.0.1:18123"


def at(data: Path, *more: str) -> argparse.Namespace:
    return parser().parse_args(["sql", "--data", str(data), *more, "SELECT 1"])


def noted(data: Path, **own: object) -> StackAddresses:
    """Have a stack of this process run on the folder, as far as other commands can tell."""
    addresses = StackAddresses("127.0.0.1:1", URL, {}, data.resolve(), "default", "analyst", **own)  # type: ignore[arg-type]
    write_stack(addresses, {}, True)
    return addresses


def test_it_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = writers_password(tmp_path)
    password = read_password(path)
    assert len(password) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert writers_password(tmp_path) == path and read_password(path) == password
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [PASSWORD_FILE]


def test_one_that_is_empty_or_unreadable_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / PASSWORD_FILE
    path.touch()
    with pytest.raises(SettingsError, match="is empty"):
        writers_password(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(SettingsError, match=f"{PASSWORD_FILE}: "):
        writers_password(tmp_path)


def test_other_commands_on_the_folder_log_in_with_it(tmp_path: Path) -> None:
    path = writers_password(tmp_path)
    assert noted(tmp_path, password_file=path) == read_stack(tmp_path)
    for args in (at(tmp_path), at(tmp_path, "--clickhouse-url", URL)):
        settings = clickhouse_settings(args)
        assert (settings.url, settings.user) == (URL, "default")
        assert settings.password == read_password(path)


@pytest.mark.parametrize(
    ("flags", "variables", "wanted"),
    [
        (("--clickhouse-user", "analyst"), {}, ("analyst", "")),
        (("--clickhouse-url", "http://elsewhere:8123"), {}, ("default", "")),
        ((), {"EVOMETRICS_CLICKHOUSE_PASSWORD": "mine"}, ("default", "mine")),
        ((), {"EVOMETRICS_CLICKHOUSE_URL": "http://elsewhere:8123"}, ("default", "")),
    ],
)
def test_another_user_another_server_or_a_password_of_ones_own_come_first(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: tuple[str, ...],
    variables: dict[str, str],
    wanted: tuple[str, str],
) -> None:
    noted(tmp_path, password_file=writers_password(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = clickhouse_settings(at(tmp_path, *flags))
    assert (settings.user, settings.password) == wanted


def test_a_password_that_was_set_is_used_instead_and_none_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOMETRICS_CLICKHOUSE_SERVER_PASSWORD", "of the server")
    noted(tmp_path)
    assert clickhouse_settings(at(tmp_path)).password == "of the server"
    monkeypatch.setenv("EVOMETRICS_CLICKHOUSE_PASSWORD", "another")
    args = parser().parse_args(["up", "--data", str(tmp_path)])
    with pytest.raises(SettingsError, match=r"clickhouse_server.password='\*\*\*': is not the one"):
        local_stack(args)
    assert not (tmp_path / PASSWORD_FILE).exists()


def test_the_server_gets_its_passwords_in_its_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ServerSettings(user="me", password="p5ecret", reader_password="q5ecret", hosts="ch.internal")
    spec = clickhouse_process(tmp_path, 1, tmp_path / "log", settings)
    assert "5ecret" not in " ".join(spec.argv)
    assert {"--user=me", "--hosts=ch.internal"} <= set(spec.argv)
    of_the_writer = "EVOMETRICS_CLICKHOUSE_SERVER_PASSWORD"
    assert spec.env[of_the_writer] == "p5ecret"
    assert spec.env["EVOMETRICS_CLICKHOUSE_SERVER_READER_PASSWORD"] == "q5ecret"
    monkeypatch.setenv(f"{of_the_writer}_FILE", os.devnull)  # it is inherited
    assert of_the_writer not in clickhouse_process(tmp_path, 1, tmp_path / "log", settings).env


def test_the_reader_reads_the_stacks_database_unless_others_are_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = parser().parse_args(["up", "--data", str(tmp_path)])
    assert server_settings(args, "metrics").readable == ("metrics",)
    monkeypatch.setenv("EVOMETRICS_CLICKHOUSE_SERVER_READER_DATABASES", "metrics, notes")
    assert server_settings(args, "metrics").readable == ("metrics", "notes")


def test_who_reads_and_who_writes_is_told_without_the_password(tmp_path: Path) -> None:
    path = writers_password(tmp_path)
    said = "\n".join(logins(noted(tmp_path, password_file=path)))
    assert "user analyst" in said and f"user default, its password is in {path}" in said
    assert read_password(path) not in said
    assert "password in EVOMETRICS_CLICKHOUSE_SERVER_READER_PASSWORD" not in said
    said = "\n".join(logins(noted(tmp_path, password_file=path, reader_password=True)))
    assert "user analyst, with the password in EVOMETRICS_CLICKHOUSE_SERVER_READER_PASSWORD: tables" in said
    assert logins(StackAddresses("127.0.0.1:1", URL, {}, tmp_path)) == []


def test_another_clickhouse_needs_none(tmp_path: Path) -> None:
    clickhouse = ClickHouseSettings(password="theirs")
    server = ServerSettings(password="of the one that is not started")
    StackSettings(external_clickhouse=URL, clickhouse=clickhouse, clickhouse_server=server)
