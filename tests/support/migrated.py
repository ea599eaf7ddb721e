"""A ClickHouse folder that all migrations were applied to: made once for a run of the tests, then copied.

Applying them sends some two hundred statements, which takes longer than most tests that want the tables.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.kafka.jars import exclusive
from evometrics.deploy.process.child import ChildProcess
from evometrics.deploy.process.ports import HOST, free_ports
from evometrics.sinks.migrations.migrate import migrate
from evometrics.sinks.settings import ClickHouseSettings

#: Besides the one that parts use by default, a database whose name is nowhere in the statements that make it.
TO_COPY = "tables_to_copy"


def migrated_in(shared: Path) -> Path:
    """Return the folder, in one that all processes of a run share; the first of them makes it."""
    folder = shared / "migrated"
    with exclusive(folder.with_suffix(".lock")):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=shared) as scratch:
                asyncio.run(make(Path(scratch)))
                (Path(scratch) / "clickhouse").rename(folder)
    return folder


def copied(migrated: Path, folder: Path) -> Path:
    """Make a folder for a server of its own; what lies in there has links to what lies beside it."""
    return Path(shutil.copytree(migrated, folder, symlinks=True))


async def make(scratch: Path) -> None:
    """Run a server on `scratch`/clickhouse, and make the tables in its two databases."""
    (port,) = free_ports(1)
    server = ChildProcess(clickhouse_process(scratch / "clickhouse", port, scratch / "clickhouse.log"))
    await server.start()
    try:
        default = ClickHouseSettings(url=f"http://{HOST}:{port}")
        await migrate(default)
        await migrate(replace(default, database=TO_COPY))
    finally:
        await server.stop()
