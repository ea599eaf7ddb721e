"""`evometrics import`: history recorded elsewhere or earlier."""

from __future__ import annotations

import argparse
from pathlib import Path

from evometrics.deploy.console.flags import add_servers, filled, positive, zone

#: Those of `history.run.READERS` and `history.readers.detection.TOOLS`, which take longer to import.
FORMATS = ("csv", "jsonl", "mlflow", "openevolve", "optuna", "parquet", "shinka", "sqlite", "state")


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    sub.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="SQLite, evolution_state.json, CSV, JSON lines or Parquet; or what Optuna, OpenEvolve, "
        "ShinkaEvolve or MLflow has written",
    )
    sub.add_argument(
        "--format", choices=FORMATS, help="format of the file (default: detected from its content)"
    )
    sub.add_argument(
        "--node-id",
        type=filled,
        default="import",
        help="node_id for events without one (default import)",
    )
    sub.add_argument(
        "--run-id",
        type=filled,
        metavar="ID",
        help="id that a tool's run was recorded under while it ran, so that its candidates count once",
    )
    sub.add_argument(
        "--timezone",
        type=zone,
        metavar="ZONE",
        help="zone in which Optuna before 5 ran, such as Europe/Berlin: it stores local times (default UTC)",
    )
    sub.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="where to list rejected rows (default: next to the file, as .rejected.jsonl)",
    )
    sub.add_argument(
        "--dry-run", action="store_true", help="read and report; publish nothing and contact no server"
    )
    sub.add_argument(
        "--wait",
        type=positive,
        default=600,
        metavar="SECONDS",
        help="how long to wait for the sink to catch up (default 600)",
    )
    sub.add_argument("--json", action="store_true", help="print JSON")
    add_servers(sub)


async def run(args: argparse.Namespace) -> int:
    """Import the history in a file."""
    from evometrics.deploy.history.run import run

    return await run(args)
