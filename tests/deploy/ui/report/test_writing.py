"""The command: which night it takes, what it writes, and how it ends."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evometrics.deploy.exit_codes import ExitCode
from evometrics.deploy.ui.report.subject import night, night_of
from evometrics.sinks.settings import ClickHouseSettings
from tests.deploy.ui.report.conftest import MARKUP, NONE, WHOLE
from tests.support.stack import evometrics_here

ELSEWHERE = "/no/such/folder/report.html"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [each for each in os.environ if each.startswith("EVOMETRICS_")]:
        monkeypatch.delenv(name)
    return tmp_path


def report(nights: ClickHouseSettings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return evometrics_here(
        "report", "--clickhouse-url", nights.url, "--database", nights.database, *arguments
    )


def test_without_a_flag_it_is_the_last_night_as_html(nights: ClickHouseSettings, folder: Path) -> None:
    done = report(nights)
    assert done.returncode == ExitCode.DONE, done.stderr
    assert "wrote report.html" in done.stderr
    assert night(night_of(datetime.now(UTC))).title in (folder / "report.html").read_text()


def test_a_picture_alone_is_a_picture_alone(nights: ClickHouseSettings, folder: Path) -> None:
    assert report(nights, "--night", str(WHOLE), "--png", "night.png").returncode == ExitCode.DONE
    assert [each.name for each in folder.iterdir()] == ["night.png"]
    assert (folder / "night.png").read_bytes().startswith(b"\x89PNG")


def test_an_empty_night_is_a_report_too(nights: ClickHouseSettings, folder: Path) -> None:
    done = report(nights, "--night", str(NONE), "--terminal")
    assert done.returncode == ExitCode.DONE
    assert "Nothing was recorded in this night" in done.stdout
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--run", "night-7"], ExitCode.FAILED, "no evolution of this run is known; the last runs are "),
        (["--night", str(NONE), "--output", ELSEWHERE], ExitCode.FAILED, ELSEWHERE),
        (["--output", "-", "--terminal"], ExitCode.MISUSED, "has standard output: name a file"),
        (["--night", "yesterday"], ExitCode.MISUSED, "'yesterday' is not a date, such as 2026-11-28"),
        (["--night", str(NONE), "--run", MARKUP], ExitCode.MISUSED, "not allowed with argument --night"),
        (["--timezone", "Mars/Olympus"], ExitCode.MISUSED, "is not a time zone such as Europe/Berlin"),
    ],
)
def test_what_can_not_be_done_is_said(
    nights: ClickHouseSettings, folder: Path, arguments: list[str], code: ExitCode, words: str
) -> None:
    done = report(nights, *arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert not list(folder.iterdir())
