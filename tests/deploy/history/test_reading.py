"""Files of history are read row by row, and each row is taken or reported; no server is asked."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evometrics.deploy.cli.main import main
from evometrics.deploy.commands.import_history import FORMATS
from evometrics.deploy.history.readers.detection import TOOLS
from evometrics.deploy.history.run import READERS, opened
from evometrics.deploy.history.staging import Staged, Staging
from evometrics.schemas.events import EvolutionCompleted, KpiSnapshot, SystemEvent
from evometrics.schemas.service.settings import SettingsError
from evometrics.schemas.wire.framing import WireFormat
from tests.support.history_files import SCHEMA, spec_file
from tests.support.history_imports import rejected, staged

AT = 1_750_000_000


def import_dry(path: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, dict[str, Any]]:
    status = main(["import", str(path), "--dry-run", "--json", *flags])
    return status, json.loads(capsys.readouterr().out)


def events(path: Path) -> list[Any]:
    return [WireFormat().decode(item.value) for item in staged(path)]


def test_counts_of_a_spec_shaped_file_add_up_and_each_broken_row_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history.db"
    made = spec_file(path, 1000)
    status, about = import_dry(path, capsys)
    assert status == 1
    assert {name: counts["read"] for name, counts in about["tables"].items()} == made.read
    assert {name: counts["rejected"] for name, counts in about["tables"].items()} == made.rejected
    assert {name: counts["to_import"] for name, counts in about["tables"].items()} == {
        name: made.taken(name) for name in made.read
    }
    found = rejected(path)
    assert len(found) == made.rejected.total()
    with sqlite3.connect(path) as db:
        db.row_factory = sqlite3.Row
        for entry in found:
            assert entry["source"] == str(path) and entry["reason"]
            row = dict(
                db.execute(f"SELECT * FROM {entry['table']} WHERE id = ?", (entry["rowid"],)).fetchone()
            )
            assert entry["row"] == {
                name: value.hex() if isinstance(value, bytes) else value for name, value in row.items()
            }


def test_events_come_in_the_order_of_time_whatever_the_files_order(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    spec_file(path, 300)
    times = [item.at for item in staged(path)]
    assert len(times) > 200
    assert times == sorted(times)
    assert len(set(times)) > 100


def test_a_report_is_written_anew_and_not_at_all_where_every_row_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "evolutions.csv"
    path.write_text(f"agent_id,timestamp,success\na,{AT},1\nb,x,1\n")
    assert import_dry(path, capsys)[0] == 1
    assert len(rejected(path)) == 1
    path.write_text(f"agent_id,timestamp,success\na,{AT},1\nb,{AT + 1},1\n")
    status, about = import_dry(path, capsys)
    assert (status, about["report"]) == (0, None)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_of_an_evolutions_strategies_the_last_is_kept_and_the_others_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    db = sqlite3.connect(path)
    db.executescript(SCHEMA)
    for name in ("first", "second"):
        db.execute(
            "INSERT INTO evolution_strategies (evolution_id, strategy_name, applied_at) VALUES ('e', ?, ?)",
            (name, AT + 0.5),
        )
    for at in (AT + 3, AT + 4):
        db.execute(
            "INSERT INTO evolution_metrics (timestamp, agent_id, evolution_type, evolution_id, success) "
            "VALUES (?, 'a', 'nightly', 'e', 1)",
            (at,),
        )
    db.commit()
    db.close()
    found = [event for event in events(path) if isinstance(event, EvolutionCompleted)]
    assert [(event.strategy_used, event.started_at) for event in found] == [
        ("second", AT * 1_000_000 + 500_000)
    ] * 2
    assert [(entry["rowid"], entry["table"]) for entry in rejected(path)] == [(1, "evolution_strategies")]
    assert [item.strategy for item in staged(path)] == [True, False], "it counts once"


def test_the_same_event_twice_is_one_and_with_other_values_it_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "evolutions.csv"
    path.write_text(f"agent_id,timestamp,evolution_id,success\na,{AT},e,1\na,{AT}.0,e,true\na,{AT},e,0\n")
    _, about = import_dry(path, capsys)
    assert about["tables"]["evolutions"] == {
        "read": 3,
        "to_import": 1,
        "imported": 0,
        "already_there": 1,
        "rejected": 1,
    }
    assert "with other values" in rejected(path)[0]["reason"]


def test_csv_lines_that_can_not_be_split_are_reported_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "evolutions.csv"
    path.write_bytes(
        b"\xef\xbb\xbfagent_id,occurred_at,success,insights\r\n"
        b'a,2025-06-15T15:06:40Z,true,"[""two\\nlines"",\r\n ""x""]"\r\n'
        b"b,1\r\n"
        b"\r\n"
        b'c,1750000000,"tr"ue,\r\n'
        b"d\xff,1750000000,true,\r\n"
        b"e,1750000000,true,\r\n"
    )
    assert [event.agent_id for event in events(path)] == ["a", "e"]
    assert [(entry["line"], entry["reason"]) for entry in rejected(path)] == [
        (4, "has 2 cells, but the header has 4"),
        (6, "',' expected after '\"'"),
        (7, "agent_id: 'd\\udcff' is not UTF-8"),
    ]


def test_parquet_gives_maps_lists_and_times_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "evolutions.parquet"
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    table = pa.table(
        {
            "agent_id": ["a", "b", "c"],
            "occurred_at": pa.array([at, at, None], pa.timestamp("ns", "UTC")),
            "success": [True, False, True],
            "post_kpis": pa.array([[("accuracy", 0.5)], None, None], pa.map_(pa.string(), pa.float64())),
            "pre_accuracy": [0.25, float("nan"), None],
            "fitness_trajectory": [[0.1, 0.2], None, []],
            "metadata": [{"x": 1, "y": None}, None, None],
        }
    )
    pq.write_table(table, path)
    found = events(path)
    assert [event.agent_id for event in found] == ["a", "b"]
    first, second = found
    assert first.occurred_at == 1_767_323_045_678_901
    assert (first.pre_kpis, first.post_kpis) == ({"accuracy": 0.25}, {"accuracy": 0.5})
    assert (first.fitness_trajectory, first.metadata) == ([0.1, 0.2], {"x": "1"})
    assert (second.pre_kpis, second.post_kpis, second.success) == ({}, {}, False)
    assert [(entry["number"], entry["row"]["agent_id"], entry["reason"]) for entry in rejected(path)] == [
        (3, "c", "occurred_at: is missing")
    ]


RESULT = (
    "EvolutionResult(agent_id='{agent}', strategy_used=<EvolutionStrategy.HOT_SWAP: 'hot_swap'>, "
    "success={success}, improvements={{'memory_optimization': 0.15}}, new_agent_id=None, "
    "evolution_time_seconds=2.5, error_message={error})"
)


def test_the_kpi_engines_state_gives_agents_their_last_kpis_and_what_can_be_placed_of_its_history(
    tmp_path: Path,
) -> None:
    agent = {
        "agent_type": "sage",
        "created_at": AT + 100.0,
        "generation": 2,
        "evolution_count": 1,
        "config": {},
    }
    kpi = {"agent_id": "old", "accuracy": 0.25, "overall_performance": 0.4, "last_updated": AT + 400.0}
    retired = {"retired_at": AT + 500.0, "retirement_reason": "low_performance", "final_kpi": kpi}
    state = {
        "active_agents": {"sage": {**agent, "last_evolution": AT + 300.0}},
        "retired_agents": {"old": {**agent, **retired, "last_evolution": None}, "odd": 3},
        "expert_knowledge": {},
        "evolution_history": [
            RESULT.format(agent="sage", success="True", error="None"),
            RESULT.format(agent="sage", success="True", error="None"),
            RESULT.format(agent="old", success="False", error="'out of memory'"),
            {"agent_id": "old", "timestamp": AT + 350.0, "success": False, "strategy_used": "architectural"},
            "__import__('os').getcwd()",
        ],
        "population_stats": {"generations": 4},
        "last_evolution_time": AT + 600.0,
    }
    path = tmp_path / "evolution_state.json"
    path.write_text(json.dumps(state, indent=2))
    found = events(path)
    told = [(type(event), event.occurred_at // 1_000_000 - AT, event.agent_id) for event in found]
    assert told == [
        (SystemEvent, 100, "sage"),
        (SystemEvent, 100, "old"),
        (EvolutionCompleted, 300, "sage"),
        (EvolutionCompleted, 350, "old"),
        (KpiSnapshot, 400, "old"),
        (SystemEvent, 500, "old"),
        (SystemEvent, 600, ""),
    ]
    evolution = found[2]
    assert (evolution.strategy_used, evolution.duration_seconds, evolution.success) == ("hot_swap", 2.5, True)
    assert evolution.metadata == {"improvement.memory_optimization": "0.15"}
    assert found[4].accuracy == 0.25
    assert json.loads(found[5].data)["retirement_reason"] == "low_performance"
    assert [(entry["path"], entry["reason"].split(":")[0]) for entry in rejected(path)] == [
        ("retired_agents.odd", "is not an object"),
        ("evolution_history[0]", "has no time"),
        ("evolution_history[2]", "has no time"),
        ("evolution_history[4]", "is not an evolution's result"),
    ]


def test_a_file_that_is_none_of_these_is_refused_with_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert READERS.keys() | TOOLS.keys() == set(FORMATS)
    sqlite3.connect(tmp_path / "empty.db").execute("CREATE TABLE other (x)").connection.close()
    contents = {
        "none.csv": (b"name,score\na,1\n", "evolutions need agent_id"),
        "empty.csv": (b"", "is empty"),
        "torn.json": (b"{]", "can't be read as JSON"),
        "other.json": (b'{"a": 1}', "has the columns a; evolutions need agent_id"),
        "torn_lines.json": (b'{"a": 1,\n  "b"', "can't be read as JSON"),
        "other_lines.json": (b'{\n  "a": 1\n}', "is not the KPI engine's state"),
        "torn.parquet": (b"PAR1rubbish", "can't be read as Parquet"),
        "torn.db": (b"SQLite format 3\0rubbish", "can't be read as SQLite"),
    }
    for name, (content, reason) in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert main(["import", str(path), "--dry-run"]) == 2, name
        assert reason in capsys.readouterr().err
    with pytest.raises(SettingsError, match="has none of the tables"):
        opened(tmp_path / "empty.db", None)
    with pytest.raises(SettingsError, match="can't be read: No such file"):
        opened(tmp_path / "missing.csv", None)
    path = tmp_path / "good.csv"
    path.write_text("agent_id,timestamp,success\n")
    assert main(["import", str(path), "--report", str(path)]) == 2
    assert "is the file to import" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="a process's open files are told by Linux")
def test_staging_is_on_disk_and_deleted_already_while_it_is_used() -> None:
    def opened_files() -> set[str]:
        return {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}

    before = opened_files()
    with Staging() as staging:
        staging.db.execute("PRAGMA cache_size = 10")
        staging.db.execute("INSERT INTO strategy VALUES ('e', ?, '{}', '{}', 0)", ("x" * 1_000_000,))
        (name,) = opened_files() - before
        assert name.endswith(" (deleted)")
        assert staging.prepare() == 0
        assert list(staging.ordered(10, 1000)) == []


def test_a_staged_event_is_found_again_by_its_values(tmp_path: Path) -> None:
    path = tmp_path / "evolutions.csv"
    path.write_text(f"agent_id,timestamp,success\na,{AT},1\n")
    (item,) = staged(path)
    event = WireFormat().decode(item.value)
    assert item == Staged(
        event.event_id, AT * 1_000_000, "evometrics.evolution.completed", "a", item.value, "evolutions", False
    )
