"""Bad input at the command line is named, with a way out, within seconds and without a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from evometrics.deploy.cli.main import main, nothing
from evometrics.deploy.commands import replay, sink, stream
from evometrics.deploy.console import options
from evometrics.deploy.console.tables import QueryResult, table
from evometrics.deploy.pipeline.nodes import share
from evometrics.sinks.settings import ClickHouseSettings

NOWHERE = "127.0.0.1:9"


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (["demo", "--nodes", "0"], {}, "--nodes: '0' is not a whole number"),
        (["demo", "--agents", "many"], {}, "--agents: 'many'"),
        (["demo", "--nodes", "3", "--agents", "2"], {}, "--agents and --evolutions"),
        (["topics", "--brokers", "nonsense"], {}, "brokers='nonsense'"),
        (["topics", "--brokers", NOWHERE], {}, NOWHERE),
        (["topics"], {"EVOMETRICS_KAFKA_PARTITIONS": "x"}, "EVOMETRICS_KAFKA_PARTITIONS='x'"),
        (["migrate", "--clickhouse-url", f"http://{NOWHERE}"], {}, f"http://{NOWHERE}"),
        (["migrate", "--clickhouse-url", "ftp://x"], {}, "url='ftp://x'"),
        (["sql", "--clickhouse-url", f"http://{NOWHERE}", "SELECT 1"], {}, "evometrics up"),
        (["sql", "--config", "no-such-file.toml", "SELECT 1"], {}, "no-such-file.toml"),
        (["sink"], {"EVOMETRICS_SINK_BATCH_ROWS": "-1"}, "batch_rows"),
        (["stream"], {"EVOMETRICS_STREAM_ABANDONED_AFTER_SECONDS": "0"}, "abandoned_after_seconds"),
        (["up", "--brokers", NOWHERE], {}, NOWHERE),
        (["up", "--brokers", ""], {}, "--brokers: is empty"),
        (["orchestrate", "--node-id", ""], {}, "--node-id: is empty"),
        (["replay", "--clickhouse-url", " "], {}, "--clickhouse-url: is empty"),
        (["up", "--clickhouse-url", f"http://{NOWHERE}"], {}, NOWHERE),
        (["import", "no-such-file.csv"], {}, "no-such-file.csv: can't be read"),
        (["import", "pyproject.toml"], {}, "evolutions need agent_id"),
        (["import", "pyproject.toml", "--node-id", ""], {}, "--node-id"),
        (["import", "pyproject.toml", "--format", "xml"], {}, "invalid choice: 'xml'"),
        (["republish", "--from", "yesterday"], {}, "--from: 'yesterday' is not an ISO time"),
        (
            ["republish", "--tables", "kpi_snapshots,kpi_deltas"],
            {},
            "kpi_deltas: no raw table; the raw tables are",
        ),
        (["republish", "--ahead-hours", "0"], {}, "--ahead-hours: '0'"),
        (["republish", "--agents", " ,"], {}, "--agents: ' ,' names nothing"),
        (["republish", "--clickhouse-url", f"http://{NOWHERE}"], {}, f"http://{NOWHERE}"),
        (["checksums", "--clickhouse-url", f"http://{NOWHERE}"], {}, f"http://{NOWHERE}"),
        (["fly"], {}, "fly"),
    ],
)
def test_bad_input_is_named(
    arguments: list[str],
    environment: dict[str, str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for command in (replay, sink, stream):
        monkeypatch.setattr(command, "set_pace", nothing)  # of this process
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    where = [] if arguments == ["fly"] else ["--data", str(tmp_path / "data")]
    try:
        code = main([*arguments, *where])
    except SystemExit as ended:
        code = int(ended.code or 0)
    said = capsys.readouterr().err
    assert code in (1, 2)
    assert named in said
    assert "Traceback" not in said


def test_work_is_split_evenly() -> None:
    assert share(10, 3) == [4, 3, 3]
    assert sum(share(200, 7)) == 200


def test_a_table_is_aligned_and_says_what_is_null() -> None:
    found = QueryResult(["name", "n"], [("a", 1), ("long name", None), ("x" * 80, 12345)])
    lines = table(found).splitlines()
    assert lines[0].startswith("name ")
    assert lines[2].endswith("    1")
    assert lines[3].endswith("    -")
    assert len({len(line) for line in lines[2:]}) == 1
    assert "…" in lines[4]


def test_a_data_folder_on_which_nothing_runs_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ClickHouseSettings(url=f"http://{NOWHERE}")
    monkeypatch.setattr(options, "read_settings", lambda *_, **__: settings)
    assert main(["sql", "SELECT 1", "--data", str(tmp_path)]) == 1
    assert f"no stack is running on {tmp_path}, and" in capsys.readouterr().err
    assert main(["checksums", "--data", str(tmp_path / "none")]) == 1
    error = capsys.readouterr().err
    assert f"{tmp_path / 'none'}, which does not exist" in error and "--clickhouse-url" in error
