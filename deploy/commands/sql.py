"""`evometrics sql`: one query, its rows as an aligned table or as JSON."""

from __future__ import annotations

import argparse
import sys

from evometrics.deploy.console.options import add_server, clickhouse_settings


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    sub.add_argument("query", help="the query; - reads it from standard input")
    sub.add_argument("--json", action="store_true", help="print one JSON object per row")
    add_server(sub)


async def run(args: argparse.Namespace) -> int:
    """Run one query and print its rows as they arrive."""
    from evometrics.deploy.commands.sql_work import pages
    from evometrics.deploy.console.tables import Columns, to_json

    text = sys.stdin.read() if args.query == "-" else args.query
    columns = None
    async for page in pages(clickhouse_settings(args), text):
        if args.json:
            for row in page.rows:
                print(to_json(dict(zip(page.columns, row, strict=True))))
            continue
        if columns is None and page.columns:
            columns = Columns(page)
            print(columns.head())
        if columns is not None:
            print("\n".join(map(columns.line, page.rows)), end="\n" if page.rows else "")
    return 0
