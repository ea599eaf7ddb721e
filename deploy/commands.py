"""What the subcommands do, each in terms of the part that owns it."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import logging
import sys
from collections.abc import Awaitable, Callable

from evometrics.deploy.options import (
    clickhouse_settings,
    config_file,
    http_address,
    kafka_settings,
    running_stack,
)
from evometrics.deploy.signals import terminated
from evometrics.schemas.health import HealthSettings
from evometrics.schemas.settings import read_settings

#: Of these we want to hear what goes wrong, not each step they take.
CHATTY = ("faust", "mode", "aiokafka", "evometrics.streams.app", "evometrics.streams.tables", "asyncio")


def log_to_stderr() -> None:
    """Log for operators: what happened, where, what happens next."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


async def until_terminated(run: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run a worker; SIGTERM and Ctrl-C set the event that tells it to end. Returns the exit code."""
    stop = asyncio.Event()

    async def wait() -> None:
        await terminated()
        stop.set()

    waiting = asyncio.create_task(wait())
    try:
        await run(stop)
    finally:
        waiting.cancel()
    return 0


async def stream(args: argparse.Namespace) -> int:
    """Run a stream worker until terminated."""
    from evometrics.streams.settings import StreamSettings
    from evometrics.streams.worker import run_stream

    log_to_stderr()
    given = {"instance": args.instance, "data": f"{args.data}/stream"}
    settings = read_settings(StreamSettings, "stream", flags=given, file=config_file(args))
    kafka = kafka_settings(args)
    health = read_settings(HealthSettings, "health", file=config_file(args))
    return await until_terminated(lambda stop: run_stream(kafka, settings, http_address(args), stop, health))


async def sink(args: argparse.Namespace) -> int:
    """Run a sink worker until terminated."""
    from evometrics.sinks.settings import SinkSettings
    from evometrics.sinks.worker import run_sink

    log_to_stderr()
    settings = read_settings(SinkSettings, "sink", file=config_file(args))
    kafka, clickhouse = kafka_settings(args), clickhouse_settings(args)
    health = read_settings(HealthSettings, "health", file=config_file(args))
    return await until_terminated(
        lambda stop: run_sink(kafka, clickhouse, settings, http_address(args), stop, health)
    )


async def migrate(args: argparse.Namespace) -> int:
    """Create or update database, tables and views, or show what would be done or was."""
    from evometrics.deploy.migrations import run

    return await run(args)


async def retention(args: argparse.Namespace) -> int:
    """Show, or change and show, how long tables keep their rows."""
    from evometrics.deploy.sql import Found, table
    from evometrics.sinks.retention import SUMMED, keep, show

    settings = clickhouse_settings(args)
    if args.action == "set":
        await keep(settings, args.table, args.days)
    found = [dataclasses.asdict(each) for each in await show(settings)]
    if args.json:
        print(json.dumps(found, default=str))
        return 0
    print(table(Found(list(found[0]), [tuple(each.values()) for each in found])))
    if args.action == "set" and args.table == SUMMED:
        print(f"\nevolution_hourly and evolution_daily are computed from {SUMMED}: they reach back as far.")
    return 0


async def topics(args: argparse.Namespace) -> int:
    """Create the topics that are missing, put the others right, and list all."""
    from evometrics.deploy.topics import create_topics, reset_retention

    states = await create_topics(kafka_settings(args))
    if args.reset_retention:
        await reset_retention(kafka_settings(args))
    if args.json:
        print(json.dumps([dataclasses.asdict(state) for state in states]))
        return 0
    for state in states:
        print(f"{state.name:36} {state.partitions:3} partitions  {state.words}")
    return 0


async def dead_letters(args: argparse.Namespace) -> int:
    """List, show or send again what could not be read or stored."""
    from evometrics.deploy.dead_letters import run

    return await run(args)


async def import_history(args: argparse.Namespace) -> int:
    """Bring in the history of a file."""
    from evometrics.deploy.history.run import run

    return await run(args)


async def republish(args: argparse.Namespace) -> int:
    """Send the events of the raw tables to Kafka again."""
    from evometrics.deploy.republish import run_republish

    return await run_republish(args)


async def replay(args: argparse.Namespace) -> int:
    """Compute derived tables again, show what differs, and put it right where that is asked for."""
    from evometrics.deploy.replay import run_replay

    return await run_replay(args)


async def checksums(args: argparse.Namespace) -> int:
    """Print a checksum of each table."""
    from evometrics.deploy.republish import run_checksums

    return await run_checksums(args)


async def sql(args: argparse.Namespace) -> int:
    """Run one query and print its rows."""
    from evometrics.deploy.sql import query, table

    text = sys.stdin.read() if args.query == "-" else args.query
    found = await query(clickhouse_settings(args), text)
    if args.json:
        for row in found.rows:
            print(json.dumps(dict(zip(found.columns, row, strict=True)), default=str, ensure_ascii=False))
    elif found.columns:
        print(table(found))
    return 0


async def up(args: argparse.Namespace) -> int:
    """Run the embedded stack until terminated."""
    from evometrics.deploy.local import local_stack

    async with local_stack(args, stream_workers=args.streams, sink_workers=args.sinks) as stack:
        addresses = stack.addresses
        if args.json:
            found = {
                "brokers": addresses.brokers,
                "clickhouse_url": addresses.clickhouse_url,
                "metrics_urls": dict(addresses.metrics_urls),
                "data": str(addresses.data),
            }
            print(json.dumps(found), flush=True)
        else:
            print(f"\nKafka       {addresses.brokers}")
            print(f"ClickHouse  {addresses.clickhouse_url}  (database {clickhouse_settings(args).database})")
            for name, url in addresses.metrics_urls.items():
                print(f"metrics     {url}  ({name})")
            print(f"data        {addresses.data}\n\nCtrl-C ends all of it.", flush=True)
        await terminated()
    return 0


async def orchestrate(args: argparse.Namespace) -> int:
    """Run one orchestrator node with demo agents until its evolutions are done."""
    from evometrics.deploy.nodes import NodePlan, run_nodes

    plan = NodePlan(args.node_id, args.agents, args.evolutions, args.seed, args.http_port)
    results = await run_nodes([plan], kafka_settings(args), args.data, echo_json=args.json)
    if not args.json:
        for topic, number in results[0].recorded.items():
            print(f"{topic:36} {number:8} recorded")
    return 0


async def demo(args: argparse.Namespace) -> int:
    """Run the whole pipeline on agents that truly evolve, and show what came of it."""
    from evometrics.deploy.demo import run_demo

    return await run_demo(args, running_stack(args))
