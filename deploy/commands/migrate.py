"""`evometrics migrate`: applies the migrations, or shows what would run, or each one's state."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from evometrics.deploy.console.options import add_server, clickhouse_settings, positive
from evometrics.deploy.console.tables import to_json
from evometrics.schemas.service.settings import SettingsError
from evometrics.sinks.settings import ClickHouseSettings

if TYPE_CHECKING:
    from evometrics.sinks.migrations.files import Migration
    from evometrics.sinks.migrations.migrate import Planned
    from evometrics.sinks.migrations.plan import Status


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_server(sub)
    sub.add_argument("--to", type=positive, metavar="NUMBER", help="stop after this migration")
    sub.add_argument(
        "--dry-run", action="store_true", help="print the statements that would run; change nothing"
    )
    sub.add_argument(
        "--status", action="store_true", help="list every migration and its state; change nothing"
    )
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub.add_argument(
        "--cluster", metavar="NAME", help="ClickHouse cluster to create it on (default: a single server)"
    )


async def run(args: argparse.Namespace) -> int:
    """Apply or show, as the flags ask."""
    from evometrics.sinks.migrations.migrate import migrate, planned, status

    settings = clickhouse_settings(args)
    if args.status:
        if args.dry_run or args.to is not None:
            other = "--dry-run" if args.dry_run else f"--to {args.to}"
            raise SettingsError(
                f"--status {other}: --status lists all migrations and runs none; give only one of the two"
            )
        show_status(settings, await status(settings), as_json=args.json)
    elif args.dry_run:
        show_planned(settings, await planned(settings, args.to), as_json=args.json)
    else:
        logging.basicConfig(
            level=logging.WARNING, format="evometrics migrate: %(message)s", stream=sys.stderr
        )
        logging.getLogger("evometrics.sinks.migrations.lock").setLevel(logging.INFO)
        show_applied(settings, await migrate(settings, args.to), as_json=args.json)
    return 0


def show_applied(settings: ClickHouseSettings, applied: Sequence[Migration], *, as_json: bool) -> None:
    """Print what was applied."""
    if as_json:
        print(to_json({"database": settings.database, "applied": [m.number for m in applied]}))
        return
    for migration in applied:
        print(f"applied {migration.number:04d} {migration.name.replace('_', ' ')}")
    if not applied:
        print(f"database {settings.database} is up to date")


def show_planned(settings: ClickHouseSettings, found: Sequence[Planned], *, as_json: bool) -> None:
    """Print the statements that would run, as SQL that can be read or run."""
    if as_json:
        statements = [dataclasses.asdict(statement) for statement in found]
        print(to_json({"database": settings.database, "statements": statements}))
        return
    label = None
    for statement in found:
        if statement.label != label:
            label = statement.label
            print(f"-- == {label}\n")
        print(f"{statement.sql};\n")
    if not found:
        print(f"-- database {settings.database} is up to date")


def show_status(settings: ClickHouseSettings, found: Sequence[Status], *, as_json: bool) -> None:
    """Print each migration's state."""
    from evometrics.deploy.console.tables import QueryResult, table

    if as_json:
        rows = [
            {
                "number": status.number,
                "name": status.name,
                "state": status.state,
                "since": status.since.isoformat() if status.since else None,
            }
            for status in found
        ]
        print(to_json({"database": settings.database, "migrations": rows}))
        return
    cells = [(f"{s.number:04d}", s.name.replace("_", " "), s.state, shown(s.since)) for s in found]
    print(table(QueryResult(["number", "name", "state", "since"], list(cells))))


def shown(at: datetime | None) -> str | None:
    """Return a time as it is shown, in UTC."""
    return None if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"
