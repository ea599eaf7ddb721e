"""`python -m evometrics.deploy.clickhouse --path DIR --port N`: serve a chDB folder over HTTP until SIGTERM.

A password that clients must send is taken from EVOMETRICS_CLICKHOUSE_SERVER_PASSWORD.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from evometrics.deploy.clickhouse.folder import FolderInUseError
from evometrics.deploy.clickhouse.server import ClickHouseServer
from evometrics.deploy.clickhouse.settings import ServerSettings
from evometrics.deploy.process.signals import terminated
from evometrics.schemas.service.settings import SettingsError, read_settings


async def serve(settings: ServerSettings) -> None:
    """Serve the current folder until SIGTERM or SIGINT."""
    server = ClickHouseServer(Path(), settings)
    await server.start()
    print(f"serving {settings.path} on http://{settings.host}:{settings.port}", flush=True)
    try:
        await terminated()
    finally:
        await server.stop()
    print("closed", flush=True)


def main(argv: list[str] | None = None) -> int:
    """Parse the flags and serve; 2 for a setting that does not fit, 1 for a folder or port that is taken."""
    parser = argparse.ArgumentParser(prog="evometrics.deploy.clickhouse", description=__doc__)
    parser.add_argument("--path", help="the folder of the database")
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    try:
        settings = read_settings(ServerSettings, "clickhouse_server", flags=vars(parser.parse_args(argv)))
        Path(settings.path).mkdir(parents=True, exist_ok=True)
        os.chdir(settings.path)  # chDB takes a ? in a path for the beginning of options
        asyncio.run(serve(settings))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except (FolderInUseError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
