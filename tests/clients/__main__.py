"""Real clients of ClickHouse at the embedded front, with their defaults.

    python -m tests.clients                     all
    python -m tests.clients jdbc go-lz4         these
    python -m tests.clients --keep DIR          drivers are installed there, and found there the next time

Each reads every column of every table and view, runs a statement with parameters, inserts a batch, ends a
query that runs for ever. The drivers come from Maven Central, the Go module proxy, npm and PyPI, through
`mvn`, `go`, `npm` and `pip`; a client whose tools are missing is skipped, and named. One line for each goes
to standard output; the exit code is 1 if a step of any failed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

from tests.clients.outside import Client, Missing, go, maven, node, python
from tests.clients.served import served

CLIENTS: dict[str, Client] = {
    "jdbc": maven("clickhouse-jdbc", "0.10.0", "Jdbc"),
    "jdbc-v2": maven("jdbc-v2", "0.10.0", "Jdbc"),
    "client-v2": maven("client-v2", "0.10.0", "ClientV2"),
    **{f"go-{name}": go("2.51.0", name) for name in ("none", "gzip", "deflate", "br", "lz4", "zstd")},
    "node": node("1.23.1"),
    "connect": python("connect", "clickhouse-connect[pandas,arrow]==1.12.0"),
    "sqlalchemy": python(
        "sqlalchemies", "clickhouse-sqlalchemy==0.3.2", "clickhouse-connect[sqlalchemy]==1.12.0", "pandas"
    ),
    "ibis": python("ibises", "ibis-framework[clickhouse]==12.0.0", "packaging"),
    "polars": python("polarses", "polars==2.1.0", "connectorx", "clickhouse-connect==1.12.0", "pyarrow"),
    "tools": python("tools", "clickhouse-connect==1.12.0"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the clients asked for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.clients", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CLIENTS))
    parser.add_argument("--keep", type=Path, help="a folder for drivers")
    parser.add_argument("--server", help="a server that is running, with the product's tables")
    parser.add_argument("--verbose", action="store_true", help="everything that the programs wrote")
    args = parser.parse_args(arguments)
    if unknown := [name for name in args.names if name not in CLIENTS]:
        parser.error(f"no client {unknown[0]!r}; there are {', '.join(CLIENTS)}")
    with tempfile.TemporaryDirectory(prefix="evometrics-clients-") as folder:
        work = args.keep or Path(folder)
        return asyncio.run(run(args.names or list(CLIENTS), work.resolve(), Path(folder), args))


async def run(names: list[str], drivers: Path, folder: Path, args: argparse.Namespace) -> int:
    if args.server:
        return await asyncio.to_thread(run_at, args.server, names, drivers, args.verbose)
    async with served(folder) as server:
        return await asyncio.to_thread(run_at, server, names, drivers, args.verbose)


def run_at(server: str, names: list[str], drivers: Path, verbose: bool) -> int:
    failed, tables = False, product_tables(server)
    for name in names:
        client = CLIENTS[name]
        shown = f"{name:12} {client.driver}"
        driver = "go" if name.startswith("go-") else name  # one folder for all compressions
        try:
            steps, output = client.run(drivers / driver, server, tables)
        except Missing as reason:
            print(f"{shown}: skipped: {reason}", flush=True)
            continue
        wrong = not steps or any(state != "ok" for state, *_ in steps)
        failed |= wrong
        said = [
            f"{step}{f' ({text})' if text else ''}" if state == "ok" else f"{step} FAILED: {text}"
            for state, step, text in steps
        ]
        print(f"{shown}: {'; '.join(said) or 'FAILED: it said nothing'}", flush=True)
        if verbose or not steps:
            print(output[-20_000:], file=sys.stderr)
    return int(failed)


def product_tables(server: str) -> list[str]:
    """Return the names of the product's tables and of its views but for those with parameters."""
    plain = "database = 'evometrics' AND empty(parameterized_view_parameters)"
    sql = f"SELECT name FROM system.tables WHERE {plain}"
    with urllib.request.urlopen(f"{server}/?{urlencode({'query': sql})}") as answer:
        return str(answer.read().decode()).split()


if __name__ == "__main__":
    os.environ.setdefault("GOFLAGS", "-mod=mod")
    sys.exit(main())
