"""How the stack runs the ClickHouse server."""

from __future__ import annotations

from pathlib import Path

from evometrics.deploy.process.child import ProcessSpec, python
from evometrics.deploy.process.ports import HOST
from evometrics.deploy.process.readiness import answers, live_at


def clickhouse_process(folder: Path, port: int, log: Path) -> ProcessSpec:
    """Return the server of the chDB folder on a loopback port; it listens once its engine has answered."""
    at = ("--path", str(folder), "--host", HOST, "--port", str(port))
    return ProcessSpec(
        name="clickhouse",
        argv=(*python("evometrics.deploy.clickhouse"), *at),
        log=log,
        ready=answers(f"http://{HOST}:{port}/ping"),
        ready_timeout=60,
        live=live_at(f"http://{HOST}:{port}/health/live"),
    )
