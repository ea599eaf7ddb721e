"""`python -m evometrics.deploy.clickhouse --path DIR --port N`: serve a chDB folder over HTTP until SIGTERM.

Every setting of section `clickhouse_server` has a flag, except the passwords: these come from
EVOMETRICS_CLICKHOUSE_SERVER_PASSWORD and …_READER_PASSWORD, or these with _FILE.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import sys
from pathlib import Path

from evometrics.deploy.clickhouse.folder import FolderInUseError
from evometrics.deploy.clickhouse.server import ClickHouseServer
from evometrics.deploy.clickhouse.settings import ServerSettings, flag_of
from evometrics.deploy.process.service import SettingsError, read_settings
from evometrics.deploy.process.signals import terminated


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
    for each in dataclasses.fields(ServerSettings):
        if each.repr:  # a command line is for everybody to read
            parser.add_argument(flag_of(each.name))
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
