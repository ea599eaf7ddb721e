"""`evometrics ui`: the web pages over ClickHouse."""

from __future__ import annotations

import argparse

from evometrics.deploy.commands.workers import until_terminated
from evometrics.deploy.console.flags import add_server, filled, port
from evometrics.deploy.console.options import clickhouse_named, clickhouse_settings, running_stack
from evometrics.deploy.terminal import tell


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    sub.add_argument("--port", type=port, default=0, help="port of the pages (default: any free one)")
    text = "address to serve them on (default 127.0.0.1: this machine only)"
    sub.add_argument("--host", type=filled, default="127.0.0.1", help=text)
    add_server(sub)


async def run(args: argparse.Namespace) -> int:
    """Serve the pages until terminated."""
    from evometrics.deploy.ui.server import serve

    stack = running_stack(args)
    if args.clickhouse_user is None and stack and stack.clickhouse_reader and not clickhouse_named(args):
        args.clickhouse_user = stack.clickhouse_reader  # pages only read
    settings = clickhouse_settings(args, stack=stack)
    return await until_terminated(
        lambda stop: serve(settings, args.host, args.port, lambda url: tell(f"pages: {url}"), stop)
    )
