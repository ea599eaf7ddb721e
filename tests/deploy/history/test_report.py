"""The report of rejected rows: where it is written, and what it never touches."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evometrics.deploy.cli.main import main
from evometrics.deploy.history.report import Report
from evometrics.deploy.history.run import report_path
from evometrics.deploy.history.sources import SourceRow
from evometrics.schemas.service.settings import SettingsError
from tests.support.history_imports import rejected, staged

BAD = "agent_id,timestamp,success\na,yesterday,1\n"
GOOD = "agent_id,timestamp,success\na,1750000000,1\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "evolutions.csv"
    path.write_text(BAD)
    return path


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user can get to, as those of `tmp_path` are not."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
        Path(name).chmod(0o755)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write to a folder meanwhile; root, whom no mode stops, is somebody else for it."""
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


def imported(source: Path, *flags: str) -> int:
    return main(["import", str(source), "--dry-run", *flags])


@pytest.mark.parametrize("content", ["notes", '{"source": "a"}\n', "[]\n", "\n\n", '"row"'])
@pytest.mark.parametrize("rows", [BAD, GOOD])
def test_what_is_no_report_is_left_as_it_is(
    content: str, rows: str, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source.write_text(rows)
    precious = source.with_name("precious.jsonl")
    precious.write_text(content)
    assert imported(source, "--report", str(precious)) == 2
    assert "is not a report of an import; name another file" in capsys.readouterr().err
    assert precious.read_text() == content
    assert len(list(source.parent.iterdir())) == 2


def test_a_report_takes_the_place_of_an_earlier_one_and_nothing_is_left_beside_it(source: Path) -> None:
    for _ in range(2):
        assert imported(source) == 1
        assert [entry["line"] for entry in rejected(source)] == [2]
    source.write_text(GOOD)
    assert imported(source) == 0
    assert [path.name for path in source.parent.iterdir()] == [source.name]


def test_the_file_to_import_is_no_place_for_its_report_by_whatever_name(source: Path) -> None:
    link, twin = source.with_name("link"), source.with_name("twin")
    link.symlink_to(source)
    twin.hardlink_to(source)
    for name in (source, link, twin):
        assert imported(source, "--report", str(name)) == 2
    assert imported(source, "--report", str(source.parent)) == 2
    assert source.read_text() == BAD


def test_a_link_to_a_report_stays_one(source: Path) -> None:
    target, link = source.with_name("target.jsonl"), source.with_name("link.jsonl")
    target.touch()
    link.symlink_to(target)
    assert imported(source, "--report", str(link)) == 1
    assert link.is_symlink() and json.loads(target.read_text())["table"] == "evolutions"


def test_an_empty_file_may_hold_the_report_and_stays_where_there_is_none(source: Path) -> None:
    report = source.with_name("report.jsonl")
    report.touch()
    assert imported(source, "--report", str(report)) == 1
    assert json.loads(report.read_text())["line"] == 2
    report.write_text("")
    source.write_text(GOOD)
    assert imported(source, "--report", str(report)) == 0
    assert report.read_text() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="has no named pipes in folders")
def test_a_pipe_or_device_is_written_to_and_stays_what_it_is(source: Path) -> None:
    pipe = source.with_name("pipe")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert imported(source, "--report", str(pipe)) == 1
        assert json.loads(os.read(reader, 10_000))["line"] == 2
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    source.write_text(GOOD)
    assert imported(source, "--report", str(pipe)) == 0
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="a process's open files have no names here")
def test_an_open_pipe_is_written_to_by_the_name_that_the_system_gives_it(source: Path) -> None:
    reader, writer = os.pipe()
    try:
        assert imported(source, "--report", f"/dev/fd/{writer}") == 1
        assert json.loads(os.read(reader, 10_000))["line"] == 2
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
def test_a_device_that_is_full_is_named_and_stays(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = source.with_name("full")
    link.symlink_to("/dev/full")
    source.write_text(BAD * 2)
    assert imported(source, "--report", str(link)) == 2
    assert "can't be written (No space left on device): name another" in capsys.readouterr().err
    assert link.is_char_device()


def test_a_folder_that_can_not_be_written_to_matters_where_a_row_is_rejected(open_folder: Path) -> None:
    source = open_folder / "evolutions.csv"
    report = open_folder / "report.jsonl"
    with Report(report, source) as unused, read_only(open_folder):
        assert unused.rejected == 0
    row = SourceRow("evolution", "evolutions", {"line": 2}, {})
    with (
        pytest.raises(SettingsError, match=r"report\.jsonl.*can't be written.*name another with --report"),
        read_only(open_folder),
        Report(report, source) as needed,
    ):
        needed.add(row, "bad")
    assert list(open_folder.iterdir()) == []


@pytest.mark.parametrize("ended_early", [False, True])
def test_a_report_is_at_its_place_also_where_reading_ended_early(ended_early: bool, tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    try:
        with Report(path, tmp_path / "a.csv") as report:
            report.add(SourceRow("evolution", "evolutions", {"line": 2}, {"x": 1}), "bad")
            assert not path.exists()
            if ended_early:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert json.loads(path.read_text())["row"] == {"x": 1}
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_row_that_json_has_no_form_for_is_reported_as_text(tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    endless: list[object] = []
    endless.append(endless)
    odd = ({(1, 2): 3}, {"x": 10**6000}, {"x": endless}, {"x": {b"y": 1}}, {"x": "\udcff"})
    with Report(path, tmp_path / "a.csv") as report:
        for cells in odd:
            report.add(SourceRow("evolution", "evolutions", {"number": 2}, cells), "bad \udcff")
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == [2] * len(odd)


def test_a_line_of_a_report_is_json_whatever_number_is_refused(source: Path) -> None:
    def strict(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    lines = ('{"agent_id": "a", "timestamp": 1, "success": NaN}', '{"agent_id": "a", "success": -Infinity}')
    source.write_text("\n".join(lines))
    staged(source, "jsonl")
    found = [json.loads(line, parse_constant=strict) for line in report_path(source, None).open()]
    assert [entry["line"] for entry in found] == [1, 2]


def test_what_a_killed_import_left_of_its_report_goes_with_the_next_and_a_running_ones_stays(
    source: Path,
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    report = f".{report_path(source, None).name}"
    left = source.with_name(f"{report}.{ended.pid}.abcdefgh")
    running = source.with_name(f"{report}.{os.getpid()}.abcdefgh")
    others = source.with_name(f"{report}.notes")
    for file in (left, running, others):
        file.write_text("{")
    imported(source)
    assert [file.exists() for file in (left, running, others)] == [False, True, True]
    assert len(rejected(source)) == 1
