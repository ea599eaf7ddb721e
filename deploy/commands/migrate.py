"""`evometrics migrate`: applies the migrations, or shows what would run, or each one's state."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from evometrics.deploy.console.flags import add_server, positive
from evometrics.deploy.console.options import clickhouse_settings, kafka_settings
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
    sub.add_argument(
        "--grants", action="store_true", help="print roles and their rights as SQL; connect to nothing"
    )
    sub.add_argument(
        "--users", action="store_true", help="make these roles on the server, and apply no migration"
    )
    text = "also add the columns that the newest schemas in this registry need (default: none)"
    sub.add_argument("--registry-url", metavar="URL", help=text)
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub.add_argument(
        "--cluster", metavar="NAME", help="ClickHouse cluster to create it on (default: a single server)"
    )


async def run(args: argparse.Namespace) -> int:
    """Apply or show, as the flags ask."""
    from evometrics.schemas.wire.registry import open_registry
    from evometrics.sinks.migrations.migrate import migrate, planned, status
    from evometrics.sinks.migrations.registered import fit_registered, planned_for, registered_schemas

    settings, schemas = clickhouse_settings(args), {}
    if not (args.grants or args.users or args.status) and args.to is None:
        registry = open_registry(kafka_settings(args))
        schemas = await registered_schemas(registry) if registry else {}
    if args.grants:
        refuse_beside(args, "--grants", "prints rights and runs nothing", "users", "status", "dry_run", "to")
        show_grants(settings, as_json=args.json)
    elif args.users:
        refuse_beside(args, "--users", "makes roles and applies no migration", "status", "dry_run", "to")
        await show_users(settings, as_json=args.json)
    elif args.status:
        refuse_beside(args, "--status", "lists all migrations and runs none", "dry_run", "to")
        show_status(settings, await status(settings), as_json=args.json)
    elif args.dry_run:
        found = await planned(settings, args.to)
        if not found and schemas:
            found = await planned_for(settings, schemas)
        show_planned(settings, found, as_json=args.json)
    else:
        logging.basicConfig(
            level=logging.WARNING, format="evometrics migrate: %(message)s", stream=sys.stderr
        )
        logging.getLogger("evometrics.sinks.migrations.lock").setLevel(logging.INFO)
        applied = await migrate(settings, args.to)
        wider = await fit_registered(settings, schemas) if schemas else []
        show_applied(settings, applied, wider, as_json=args.json)
    return 0


def refuse_beside(args: argparse.Namespace, flag: str, does: str, *others: str) -> None:
    """Raise `SettingsError` if one of the other flags is given as well."""
    for name in others:
        value = getattr(args, name)
        if value not in (None, False):
            other = f"--{name.replace('_', '-')}" + (f" {value}" if value is not True else "")
            raise SettingsError(f"{flag} {other}: {flag} {does}; give only one of the two")


def show_grants(settings: ClickHouseSettings, *, as_json: bool) -> None:
    """Print what creates the roles and grants them their rights."""
    from evometrics.sinks.clickhouse.grants import grants

    found = list(grants(settings))
    if as_json:
        roles = [{"role": role.name(settings), "statements": statements} for role, statements in found]
        print(to_json({"database": settings.database, "roles": roles}))
        return
    for role, statements in found:
        print(f"-- == {role.name(settings)}: {role.commands.replace('`', '')}\n")
        print("".join(f"{statement};\n" for statement in statements))


async def show_users(settings: ClickHouseSettings, *, as_json: bool) -> None:
    """Make the roles, and print which there are now."""
    from evometrics.sinks.clickhouse.users import make_users

    made = await make_users(settings)
    if as_json:
        print(to_json({"database": settings.database, "roles": [dataclasses.asdict(role) for role in made]}))
        return
    for role in made:
        print(f"role {role.name}: {'made' if role.new else 'was there'}, with its rights")


def show_applied(
    settings: ClickHouseSettings, applied: Sequence[Migration], wider: Sequence[str], *, as_json: bool
) -> None:
    """Print what was applied, and which tables got columns for schemas in the registry."""
    if as_json:
        numbers = [migration.number for migration in applied]
        print(to_json({"database": settings.database, "applied": numbers, "wider": list(wider)}))
        return
    for migration in applied:
        print(f"applied {migration.number:04d} {migration.name.replace('_', ' ')}")
    for table in wider:
        print(f"{table} has columns for the newest schema in the registry")
    if not applied and not wider:
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
