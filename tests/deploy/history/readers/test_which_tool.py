"""Which tool has written a file is seen in it; of a folder, which file to give."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from evometrics.deploy.history.readers.detection import TOOLS
from evometrics.deploy.history.run import opened
from evometrics.deploy.history.sources import AboutFile
from evometrics.schemas.service.settings import SettingsError
from tests.support.tool_files import tool_file

FILES = {
    "shinka.sqlite": "ShinkaDatabase",
    "mlflow.sqlite": "MlflowStore",
    "optuna4.sqlite": "OptunaStorage",
    "optuna4.log": "OptunaJournal",
    "openevolve_trace.jsonl": "OpenEvolveTrace",
    "openevolve_trace_failures.jsonl": "OpenEvolveTrace",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_recognised_by_its_content(name: str, tmp_path: Path) -> None:
    path = tool_file(name, tmp_path).rename(tmp_path / "history")
    assert type(opened(path, None)).__name__ == FILES[name]


@pytest.mark.parametrize("name", FILES)
def test_its_format_may_be_given(name: str, tmp_path: Path) -> None:
    tool = FILES[name].lower().partition("storage")[0].partition("journal")[0]
    kind = next(each for each in TOOLS if tool.startswith(each))
    assert type(opened(tool_file(name, tmp_path), kind)).__name__ == FILES[name]


def test_a_file_of_another_tool_than_its_format_is_refused(tmp_path: Path) -> None:
    path = tool_file("shinka.sqlite", tmp_path)
    for tool in TOOLS.keys() - {"shinka"}:
        with pytest.raises(SettingsError, match=r"shinka\.sqlite: "):
            opened(path, tool)


def test_what_is_given_of_a_tool_is_for_tools_only(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("agent_id,timestamp,success\na,1750000000,1\n")
    for given in (AboutFile(run_id="night"), AboutFile(zone=ZoneInfo("Europe/Berlin"))):
        with pytest.raises(SettingsError, match="are for files of mlflow, openevolve, optuna, shinka"):
            opened(tmp_path / "rows.csv", None, given)


def test_a_zone_is_for_local_times_only(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is for Optuna's local times; those of shinka are Unix time"):
        opened(tool_file("shinka.sqlite", tmp_path), None, AboutFile(zone=ZoneInfo("Europe/Berlin")))


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("programs.sqlite", "a run of ShinkaEvolve: import .*programs.sqlite"),
        ("evolution_trace.jsonl", "a run of OpenEvolve: import .*evolution_trace.jsonl"),
        ("mlflow.db", "MLflow's: import .*mlflow.db"),
        ("0/meta.yaml", "MLflow's file store: `mlflow migrate-filestore`"),
        ("checkpoints/checkpoint_5/programs/a.json", "OpenEvolve's checkpoints, without a trace"),
        (".aim/run_metadata.sqlite", "Aim's: its runs are exported with Aim's own SDK"),
        ("offline-run-1/run-1.wandb", "W&B's: `wandb sync` its runs"),
        ("notes.txt", "is a folder: name one file in it"),
    ],
)
def test_for_a_folder_it_says_which_file_to_give(inside: str, said: str, tmp_path: Path) -> None:
    (tmp_path / inside).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / inside).write_text("x")
    with pytest.raises(SettingsError, match=said):
        opened(tmp_path, None)


def test_an_offline_run_of_wandb_is_named_for_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "run-1.wandb").write_bytes(b":W&B\xe1\xbe\x00")
    with pytest.raises(SettingsError, match="an offline run of W&B in a format without documentation"):
        opened(tmp_path / "run-1.wandb", None)
