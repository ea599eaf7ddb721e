"""Which tool has written a file, by its content; and which file to give instead of a folder."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

from evometrics.deploy.history.contents import kind_of
from evometrics.deploy.history.json_lines import objects_of
from evometrics.deploy.history.readers import mlflow, optuna_sqlite, shinka
from evometrics.deploy.history.readers.mlflow import MlflowStore
from evometrics.deploy.history.readers.openevolve import OpenEvolveTrace, is_trace
from evometrics.deploy.history.readers.optuna_journal import OptunaJournal
from evometrics.deploy.history.readers.optuna_sqlite import OptunaStorage
from evometrics.deploy.history.readers.shinka import ShinkaDatabase
from evometrics.deploy.history.sources import AboutFile, HistoryFile
from evometrics.deploy.history.sqlite_file import SQLITE_ERRORS, open_database
from evometrics.schemas.service.settings import SettingsError


def optuna(path: Path, given: AboutFile) -> HistoryFile:
    """Return the source of one of Optuna's two kinds of storage."""
    return OptunaStorage(path, given) if kind_of(path) == "sqlite" else OptunaJournal(path, given)


#: By the name of its format: the reader of a tool's files.
TOOLS: Mapping[str, Callable[[Path, AboutFile], HistoryFile]] = {
    "mlflow": MlflowStore,
    "openevolve": OpenEvolveTrace,
    "optuna": optuna,
    "shinka": ShinkaDatabase,
}
SQLITE_TABLES = {"mlflow": mlflow.TABLES, "optuna": optuna_sqlite.TABLES, "shinka": shinka.TABLES}
#: Lines looked at: the first of a journal may be damaged.
LOOKED_AT = 20


def tool_of(path: Path, kind: str) -> str:
    """Return the tool that has written a file of a kind; empty if it is none of `TOOLS`."""
    if kind == "sqlite":
        with contextlib.closing(open_database(path)) as db, contextlib.suppress(*SQLITE_ERRORS):
            there = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            return next((tool for tool, tables in SQLITE_TABLES.items() if tables <= there), "")
    if kind == "jsonl":
        for _, found in itertools.islice(objects_of(path), LOOKED_AT):
            if isinstance(found, dict) and {"op_code", "worker_id"} <= found.keys():
                return "optuna"
            if isinstance(found, dict) and is_trace(found):
                return "openevolve"
    return ""


#: What a folder of a tool has in it, what that is, and what to import.
FOLDERS = (
    ("programs.sqlite", "a run of ShinkaEvolve: import {}"),
    ("evolution_trace.jsonl", "a run of OpenEvolve: import {}"),
    ("evolution_trace.jsonl.gz", "a run of OpenEvolve: import {}"),
    ("mlflow.db", "MLflow's: import {}"),
    ("*/meta.yaml", "MLflow's file store: `mlflow migrate-filestore` makes a database of it; import that"),
    ("meta.yaml", "of MLflow's file store: `mlflow migrate-filestore` makes a database of it; import that"),
    (".aim", "Aim's: its runs are exported with Aim's own SDK (docs/how-to/import-history.md)"),
    ("meta/chunks", "Aim's: its runs are exported with Aim's own SDK (docs/how-to/import-history.md)"),
    (
        "*.wandb",
        "an offline run of W&B: `wandb sync` it, and export it (docs/how-to/import-history.md)",
    ),
    ("*/*.wandb", "W&B's: `wandb sync` its runs, and export them (docs/how-to/import-history.md)"),
)
OPENEVOLVE_CHECKPOINTS = ("programs/*.json", "checkpoints/*/programs", "checkpoint_*/programs")


def refuse_folder(path: Path) -> None:
    """Raise `SettingsError` that says which file of a folder to give."""
    for pattern, what in FOLDERS:
        if found := next(path.glob(pattern), None):
            raise SettingsError(f"{path}: is a folder, {what.format(found)}")
    if any(next(path.glob(pattern), None) for pattern in OPENEVOLVE_CHECKPOINTS):
        raise SettingsError(
            f"{path}: is a folder of OpenEvolve's checkpoints, without a trace: make one of the last with "
            "openevolve.evolution_trace.extract_evolution_trace_from_checkpoint(CHECKPOINT, 'trace.jsonl')"
        )
    raise SettingsError(f"{path}: is a folder: name one file in it")
