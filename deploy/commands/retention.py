"""`evometrics retention`: how long tables keep their rows."""

from __future__ import annotations

import argparse
import dataclasses

from evometrics.deploy.console.flags import add_server, positive
from evometrics.deploy.console.options import clickhouse_settings
from evometrics.deploy.console.tables import to_json


def add(sub: argparse.ArgumentParser) -> None:
    """Add the two actions."""
    actions = sub.add_subparsers(dest="action", required=True, metavar="show|set")
    showing = actions.add_parser("show", help="show how long each table keeps rows, and what it holds")
    setting = actions.add_parser("set", help="change how many days a table keeps its rows")
    setting.add_argument("table", metavar="TABLE", help="name of the table, such as evolution_completed")
    setting.add_argument(
        "days",
        type=positive,
        metavar="DAYS",
        help="days from the event, or from its arrival in Kafka if that is later",
    )
    for action in (showing, setting):
        action.add_argument("--json", action="store_true", help="print JSON")
        add_server(action)


async def run(args: argparse.Namespace) -> int:
    """Show, or change and show, how long tables keep their rows."""
    from evometrics.deploy.console.tables import QueryResult, table
    from evometrics.sinks.retention import SUMMED, keep, show

    settings = clickhouse_settings(args)
    if args.action == "set":
        await keep(settings, args.table, args.days)
    found = [dataclasses.asdict(each) for each in await show(settings)]
    if args.json:
        print(to_json(found))
        return 0
    print(table(QueryResult(list(found[0]), [tuple(each.values()) for each in found])))
    if args.action == "set" and args.table == SUMMED:
        print(
            f"\nevolution_hourly and evolution_daily are computed from {SUMMED}: they reach back equally far."
        )
    return 0
