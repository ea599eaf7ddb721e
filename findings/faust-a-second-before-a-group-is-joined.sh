#!/usr/bin/env bash
# faust-streaming 0.15.3: a worker waits a second at its start for tables to be declared, also where its app has
# none, and joins its consumer group only then: each restart leaves its partitions unread a second longer.
# No setting shortens it. The way round: a TableManager of one's own (setting `TableManager`) that begins at once.
# Seen: "0 tables, 1.0 s".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q faust-streaming==0.15.3
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import asyncio
import sys
import time

import faust
from faust.tables.manager import TableManager


class Watched(TableManager):
    """Says when it begins to look for tables, and ends there: no broker is needed up to then."""

    async def _update_channels(self) -> None:
        raise TimeoutError


async def main() -> None:
    app = faust.App("a", broker="kafka://127.0.0.1:9", datadir=sys.argv[1], TableManager=Watched)
    began = time.monotonic()
    try:
        await app.tables.on_start()
    except TimeoutError:
        seconds = time.monotonic() - began
    print(f"{len(app.tables)} tables, {seconds:.1f} s")
    if seconds < 0.9:
        sys.exit("it begins at once now")


asyncio.run(main())
PYTHON
