"""Units for machines without containers: what systemd says of them, and what the parts know."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evometrics.deploy.commands.workers import END_SECONDS
from evometrics.deploy.console.options import LOCAL
from evometrics.deploy.exit_codes import ExitCode
from evometrics.schemas.service.settings import check_names
from tests.deployment.made import DEPLOY
from tests.deployment.tools import installed, said

FOLDER = DEPLOY / "systemd"
UNITS = sorted(each.name for each in FOLDER.iterdir() if each.suffix in (".service", ".timer", ".target"))
LONG_RUNNING = ("evometrics-stream@.service", "evometrics-sink@.service", "evometrics-ui.service")


def verified(folder: Path, unit: str) -> str:
    """Return what systemd says of a unit among the others: nothing where all is well."""
    for name in UNITS:
        if not (folder / name).exists():
            # systemd looks whether the program is there
            text = (FOLDER / name).read_text()
            (folder / name).write_text(re.sub(r"/opt/evometrics/bin/\S+", sys.executable, text))
    analyze = installed("systemd-analyze", "apt-get install systemd")
    done = said([analyze, "verify", "--man=no", f"./{unit}"], cwd=folder)
    return done.stdout + done.stderr


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_has_nothing_to_say(unit: str, tmp_path: Path) -> None:
    assert verified(tmp_path, unit) == ""


def test_it_would_of_a_misspelt_key_and_a_filter_that_there_is_not(tmp_path: Path) -> None:
    unit = "evometrics-sink@.service"
    text = (FOLDER / unit).read_text().replace("/opt/evometrics/bin/evometrics", sys.executable)
    for right, wrong in (("TimeoutStopSec", "TimeoutStopSecs"), ("@system-service", "@system-services")):
        (tmp_path / unit).write_text(text.replace(right, wrong))
        assert wrong in verified(tmp_path, unit)


@pytest.mark.parametrize("unit", [name for name in UNITS if name.endswith(".service")])
def test_a_unit_is_exposed_to_little(unit: str, tmp_path: Path) -> None:
    """By systemd's own measure, from 0 to 10; what restarts others runs as root."""
    analyze = installed("systemd-analyze", "apt-get install systemd")
    (tmp_path / unit).write_text((FOLDER / unit).read_text())
    most = 60 if unit == "evometrics-live.service" else 20
    done = said([analyze, "security", "--offline=yes", f"--threshold={most}", f"./{unit}"], cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-200:]


@pytest.mark.parametrize("unit", LONG_RUNNING)
def test_a_part_is_started_again_unless_a_setting_is_wrong_and_has_time_to_end(unit: str) -> None:
    text = (FOLDER / unit).read_text()
    assert "\nRestart=on-failure\n" in text
    assert "\nStartLimitIntervalSec=0\n" in text
    assert f"\nRestartPreventExitStatus={int(ExitCode.MISUSED)}\n" in text
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.M)
    assert int(seconds) > END_SECONDS


def test_every_variable_is_a_setting() -> None:
    names = {section: list(cls.__dataclass_fields__) for section, cls in LOCAL.items()}
    lines = "".join((FOLDER / name).read_text() for name in [*UNITS, "evometrics.env"])
    found = dict(re.findall(r"\b(EVOMETRICS_\w+)=(\S+)", lines))
    assert {"EVOMETRICS_HTTP_PORT", "EVOMETRICS_STREAM_INSTANCE", "EVOMETRICS_KAFKA_BROKERS"} <= set(found)
    check_names(names, found, {})


def test_what_is_stuck_is_restarted_and_nothing_else(tmp_path: Path) -> None:
    """The parts on 9311 and 9321 answer, the one on 9322 says three times that it is stuck."""
    programs = {
        "systemctl": 'case $1 in list-units) printf "evometrics-%s.service loaded active running -\\n" '
        f'stream@1 sink@1 sink@2 ;; *) echo "$@" >> {tmp_path}/did ;; esac',
        "evometrics": f'echo "$3" >> {tmp_path}/asked; [ "$3" != 9322 ]',
        "sleep": ":",
    }
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    script = (FOLDER / "evometrics-live").read_text().replace("/opt/evometrics/bin/", f"{tmp_path}/")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert (tmp_path / "asked").read_text().split() == ["9311", "9321", "9322", "9322", "9322"]
    assert (tmp_path / "did").read_text() == "restart evometrics-sink@2.service\n"
    assert "evometrics-sink@2.service is restarted" in done.stderr
