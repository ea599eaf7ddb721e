"""How the stack runs the ClickHouse server."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from evometrics.deploy.clickhouse.settings import PLACED, ServerSettings, flag_of
from evometrics.deploy.process.child import ProcessSpec, python
from evometrics.deploy.process.ports import HOST
from evometrics.deploy.process.readiness import answers, live_at
from evometrics.deploy.process.service import in_environment, variable_of

#: Options of the engine's allocator: memory that is free for half a second goes back to the system, a piece
#: of a megabyte (columns of long inserts and merges) at once. As it comes, the engine keeps some for ten.
MALLOC = "JE_MALLOC_CONF"
SOON_RETURNED = "dirty_decay_ms:500,muzzy_decay_ms:0,oversize_threshold:1048576"


def clickhouse_process(
    folder: Path, port: int, log: Path, settings: ServerSettings | None = None
) -> ProcessSpec:
    """Return the server of the chDB folder on a loopback port; it listens once its engine has answered.

    Its other settings are those given; what is secret it gets in its environment.
    """
    at = ["--path", str(folder), "--host", HOST, "--port", str(port)]
    env = {MALLOC: os.environ.get(MALLOC, SOON_RETURNED)}
    for each in dataclasses.fields(ServerSettings) if settings is not None else ():
        value = getattr(settings, each.name)
        if each.name in PLACED or value == each.default:
            continue
        if each.repr:
            at.append(f"{flag_of(each.name)}={value}")
        elif in_environment("clickhouse_server", each.name, os.environ) is None:
            env[variable_of("clickhouse_server", each.name)] = value
    return ProcessSpec(
        name="clickhouse",
        argv=(*python("evometrics.deploy.clickhouse"), *at),
        log=log,
        env=env,
        ready=answers(f"http://{HOST}:{port}/ping"),
        ready_timeout=60,
        live=live_at(f"http://{HOST}:{port}/health/live"),
    )
