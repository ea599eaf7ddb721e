"""`evometrics ui`: the web pages over ClickHouse."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

from evometrics.deploy.clickhouse.settings import ServerSettings
from evometrics.deploy.commands.workers import until_terminated
from evometrics.deploy.console.flags import add_servers, filled, host_name, port
from evometrics.deploy.console.options import (
    clickhouse_named,
    clickhouse_settings,
    config_file,
    kafka_named,
    kafka_settings,
    running_stack,
)
from evometrics.deploy.exit_codes import ExitCode
from evometrics.deploy.pipeline.drain import pipeline_groups
from evometrics.deploy.process.ports import HOST
from evometrics.deploy.stack.stackfile import StackAddresses
from evometrics.deploy.terminal import tell
from evometrics.schemas.service.settings import given_settings, read_settings
from evometrics.sinks.settings import ClickHouseSettings, SinkSettings
from evometrics.streams.settings import StreamSettings

if TYPE_CHECKING:
    from evometrics.deploy.ui.upstream import Upstream


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    sub.add_argument("--port", type=port, default=0, help="port of the pages (default: any free one)")
    text = f"address to serve them on (default {HOST}: this machine only)"
    sub.add_argument("--host", type=filled, default=HOST, help=text)
    text = "another name that browsers ask for them by, behind a proxy; may be given several times"
    sub.add_argument("--name", type=host_name, action="append", default=[], metavar="HOST", help=text)
    add_servers(sub)


async def run(args: argparse.Namespace) -> int:
    """Serve the pages until terminated; where the local stack serves the same ones, say where."""
    stack = running_stack(args)
    if (url := served_already(args, stack)) is not None:
        tell(f"pages: {url} (the stack on {args.data} serves them)")
        return ExitCode.DONE
    from evometrics.deploy.ui.server import serve

    clickhouse, upstream = read_from(args, stack), upstream_of(args, stack)
    return await until_terminated(
        lambda stop: serve(
            clickhouse, upstream, args.host, args.port, lambda url: tell(f"pages: {url}"), stop, args.name
        )
    )


def served_already(args: argparse.Namespace, stack: StackAddresses | None) -> str | None:
    """Return where the local stack serves the pages that are asked for; None where they are others."""
    if stack is None or not stack.pages_url or not is_stacks(args, stack):
        return None
    own = args.port or args.host != HOST or args.name or args.clickhouse_user or args.database or args.brokers
    return None if own else stack.pages_url


def is_stacks(args: argparse.Namespace, stack: StackAddresses) -> bool:
    """Return whether the ClickHouse that is asked for is the local stack's."""
    return not clickhouse_named(args) or args.clickhouse_url == stack.clickhouse_url


def read_from(args: argparse.Namespace, stack: StackAddresses | None) -> ClickHouseSettings:
    """Return how to read: in the local stack's own ClickHouse as who only reads there."""
    user = stack.clickhouse_reader if stack and is_stacks(args, stack) else ""
    if not user or args.clickhouse_user is not None:
        return clickhouse_settings(args, stack=stack)
    args.clickhouse_user = user
    password = given_settings(ServerSettings, "clickhouse_server", file=config_file(args))["reader_password"]
    return dataclasses.replace(clickhouse_settings(args, stack=stack), password=password.value)


def upstream_of(args: argparse.Namespace, stack: StackAddresses | None) -> Upstream | None:
    """Return the Kafka that the pages may ask for its lag, and send dead letters to again.

    None where nobody has said which Kafka the tables are of, and where others than this machine's users reach
    the pages.
    """
    if args.host not in (HOST, "::1", "localhost") or args.name:
        return None
    known = kafka_named(args) or (stack is not None and is_stacks(args, stack))
    if not known:
        return None
    from evometrics.deploy.ui.upstream import Upstream

    file = config_file(args)
    stream, sink = (
        read_settings(StreamSettings, "stream", file=file),
        read_settings(SinkSettings, "sink", file=file),
    )
    return Upstream(kafka_settings(args), pipeline_groups(stream.group, sink.group))
