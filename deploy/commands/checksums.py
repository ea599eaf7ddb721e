"""`evometrics checksums`: what each table holds, in numbers that are equal where tables are."""

from __future__ import annotations

import argparse

from evometrics.deploy.console.flags import add_server
from evometrics.deploy.console.options import clickhouse_settings
from evometrics.deploy.console.tables import to_json


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    sub.add_argument("--json", action="store_true", help="print JSON")
    add_server(sub)


async def run(args: argparse.Namespace) -> int:
    """Print rows and a checksum of each table."""
    from evometrics.deploy.console.tables import QueryResult, table
    from evometrics.sinks.checksums import checksums

    found = await checksums(clickhouse_settings(args))
    if args.json:
        print(to_json({name: each._asdict() for name, each in found.items()}))
    else:
        rows = [(name, each.rows, f"{each.hashes:016x}") for name, each in found.items()]
        print(table(QueryResult(["table", "rows", "checksum"], list(rows))))
    return 0
