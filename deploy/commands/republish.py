"""`evometrics republish`: sends the events of the raw tables to Kafka again."""

from __future__ import annotations

import argparse

from evometrics.deploy.console.flags import add_servers, moment, tables_among, words
from evometrics.schemas.topics import RAW_TOPICS
from evometrics.sinks.raw.tables import RawSelection
from evometrics.sinks.republish.republish import RepublishSettings


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags; ClickHouse is the source, Kafka the target."""
    names = ", ".join(topic.table for topic in RAW_TOPICS)
    parse = tables_among(RAW_TOPICS, "raw", "the stream computes the others")
    sub.add_argument(
        "--tables", type=parse, help=f"only these tables, separated by commas (default: {names})"
    )
    sub.add_argument(
        "--from", type=moment, dest="since", metavar="TIME", help="only events from this ISO time on"
    )
    sub.add_argument(
        "--to", type=moment, dest="until", metavar="TIME", help="only events before this ISO time"
    )
    sub.add_argument(
        "--agents", type=words, default=(), help="only events of these agents, separated by commas"
    )
    sub.add_argument("--dry-run", action="store_true", help="show what would be sent, and send nothing")
    sub.add_argument(
        "--among-others", action="store_true", help="send even into topics that hold other events"
    )
    sub.add_argument(
        "--stream-group",
        metavar="NAME",
        help="consumer group of the stream that reads the topics (default: the one in the stream's settings)",
    )
    sub.add_argument(
        "--ahead-hours",
        type=hours,
        default=RepublishSettings().ahead_hours,
        metavar="HOURS",
        help="hours of event time to send ahead of the stream, well below its allowed lateness (default 6)",
    )
    sub.add_argument(
        "--no-wait", action="store_true", help="do not wait for the stream; for when none is running"
    )
    sub.add_argument("--json", action="store_true", help="print JSON")
    add_servers(sub)


async def run(args: argparse.Namespace) -> int:
    """Send the events of the raw tables to Kafka again."""
    from evometrics.deploy.commands.republish_work import run_republish

    return await run_republish(args)


def selection(args: argparse.Namespace) -> RawSelection:
    """Return which events are selected."""
    return RawSelection(args.tables or RAW_TOPICS, args.since, args.until, args.agents)


def hours(text: str) -> float:
    """Parse a number of hours above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of hours above 0")
    return number
