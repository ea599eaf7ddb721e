"""Logs of long-running parts: text or JSON, one record a line."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator

import pytest

from evometrics.schemas.service.checks import SettingsError
from evometrics.schemas.service.logs import LogSettings, logs_json, set_up_logging

ROOT = logging.getLogger()


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave logging as the other tests have it."""
    handlers, level = ROOT.handlers[:], ROOT.level
    levels = {name: logging.getLogger(name).level for name in ("aiokafka", "faust", "mode", "asyncio")}
    yield
    logging.captureWarnings(False)
    ROOT.handlers[:] = handlers
    ROOT.setLevel(level)
    for name, each in levels.items():
        logging.getLogger(name).setLevel(each)


def test_a_record_with_a_traceback_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    ROOT.handlers.clear()  # pytest's own
    set_up_logging(LogSettings("json"), "stream", "w-1")
    assert logs_json()
    try:
        raise ValueError("first line\nsecond line")
    except ValueError:
        logging.getLogger("evometrics.stream").exception("%s can't be\ncomputed", "é")
    warnings.warn("old", stacklevel=1)
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("timestamp"))
    exception = first.pop("exception")
    assert exception.startswith("Traceback (most recent call last):\n")
    assert exception.endswith("ValueError: first line\nsecond line")
    assert first == {
        "level": "ERROR",
        "logger": "evometrics.stream",
        "message": "é can't be\ncomputed",
        "part": "stream",
        "instance": "w-1",
    }
    assert second["logger"] == "py.warnings"


@pytest.mark.parametrize(
    ("level", "seen"),
    [
        ("DEBUG", ["ours DEBUG", "ours INFO", "ours ERROR", "aiokafka INFO", "aiokafka ERROR"]),
        ("INFO", ["ours INFO", "ours ERROR", "aiokafka ERROR"]),
        ("ERROR", ["ours ERROR", "aiokafka ERROR"]),
    ],
)
def test_libraries_tell_their_steps_at_debug_only(
    level: str, seen: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    ROOT.handlers.clear()
    set_up_logging(LogSettings(level=level), "sink")
    assert not logs_json()
    for name in ("ours", "aiokafka"):
        for number in (logging.DEBUG, logging.INFO, logging.ERROR):
            logging.getLogger(name).log(number, "%s %s", name, logging.getLevelName(number))
    assert [line.rpartition(": ")[2] for line in capsys.readouterr().err.splitlines()] == seen


@pytest.mark.parametrize(("given", "words"), [({"format": "xml"}, "format"), ({"level": "info"}, "level")])
def test_other_formats_and_levels_are_refused(given: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        LogSettings(**given)


def test_a_workers_last_word_is_a_json_line_too() -> None:
    command = [sys.executable, "-m", "evometrics.deploy.cli", "stream", "--brokers", "127.0.0.1:1"]
    done = subprocess.run([*command, "--log-format", "json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert lines[-1]["level"] == "CRITICAL"
    assert "no Kafka broker answers" in lines[-1]["message"]
    assert {line["part"] for line in lines} == {"stream"}
