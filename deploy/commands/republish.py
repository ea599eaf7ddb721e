"""`evometrics republish`: sends the events of the raw tables to Kafka again."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from evometrics.deploy.console.options import add_servers, iso_time
from evometrics.schemas.topics import RAW_TOPICS, Topic
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


def words(text: str) -> tuple[str, ...]:
    """Parse comma-separated words."""
    found = tuple(word.strip() for word in text.split(",") if word.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} names nothing")
    return found


def tables_among(topics: Sequence[Topic], kind: str, others: str) -> Callable[[str], tuple[Topic, ...]]:
    """Return a parser of table names that returns their topics, in the order of `topics`.

    `kind` and `others` describe, in an error, the tables, and why other tables are not among them.
    """
    known = {topic.table: topic for topic in topics}

    def parse(text: str) -> tuple[Topic, ...]:
        wanted = words(text)
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"{', '.join(unknown)}: no {kind} table; the {kind} tables are {', '.join(known)} ({others})"
            )
        return tuple(topic for table, topic in known.items() if table in wanted)

    return parse


def hours(text: str) -> float:
    """Parse a number of hours above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of hours above 0")
    return number


def moment(text: str) -> int:
    """Parse an ISO time as microseconds since 1970."""
    try:
        return iso_time(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an ISO time, such as 2026-11-23T06:00") from None
