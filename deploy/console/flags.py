"""Flags of the command line, and how their values are parsed; loads nothing that a command may not need."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from evometrics.schemas.topics import Topic

DATA = ".evometrics"


def filled(text: str) -> str:
    """Take a text that is one: an empty one is a variable of the shell that is not set, and no wish."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; omit the flag to use its default")
    return text


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    number = int(text) if text.isdecimal() and len(text) < 19 else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number


def whole(text: str) -> int:
    """Parse a whole number of at least 0."""
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def port(text: str) -> int:
    """Parse a TCP port."""
    number = int(text) if text.isascii() and text.isdecimal() else 0
    if not 0 < number < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, a number from 1 to 65535")
    return number


def host_name(text: str) -> str:
    """Parse a host's name, as a browser's address bar has it: no scheme, port or path."""
    labels = text.lower().split(".")
    if not all(re.fullmatch(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?", label) for label in labels):
        raise argparse.ArgumentTypeError(f"{text!r} is not a host's name, such as pages.example.org")
    return text.lower()


def broker_count(text: str) -> int:
    """Parse how many brokers to start."""
    if text in ("1", "3"):
        return int(text)
    raise argparse.ArgumentTypeError(
        f"{text!r} is not 1 or 3, the number of brokers to start here. To use a running Kafka instead, give "
        "--brokers HOST:PORT"
    )


def iso_time(text: str) -> int:
    """Parse an ISO time as microseconds since 1970; one without a zone is UTC. Raises ValueError."""
    at = datetime.fromisoformat(text)
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def moment(text: str) -> int:
    """Parse an ISO time as microseconds since 1970."""
    try:
        return iso_time(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an ISO time, such as 2026-11-23T06:00") from None


def zone(name: str) -> ZoneInfo:
    """Return a time zone by its name."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise argparse.ArgumentTypeError(f"{name!r} is not a time zone such as Europe/Berlin") from None


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


def add_common(sub: argparse.ArgumentParser) -> None:
    """Add what every subcommand takes."""
    sub.add_argument(
        "--data", type=filled, default=DATA, help="folder of the local stack (default ./.evometrics)"
    )
    sub.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings by section")
    sub.add_argument("--traceback", action="store_true", help="show the traceback of an error")


def add_kafka(sub: argparse.ArgumentParser) -> None:
    """Add how to reach the broker."""
    sub.add_argument(
        "--brokers", type=filled, metavar="HOST:PORT[,...]", help="Kafka (default: the local stack's)"
    )
    sub.add_argument("--registry-url", metavar="URL", help="schema registry (default: none)")
    text = "register no schema: end where one of this build's is not registered"
    sub.add_argument("--registry-read-only", action="store_const", const=True, help=text)


def add_layout(sub: argparse.ArgumentParser) -> None:
    """Add how topics are laid out when they are created."""
    sub.add_argument("--partitions", type=positive, help="partitions of each topic (default 6)")
    sub.add_argument("--replication", type=positive, help="copies of each partition (default 1)")


def add_clickhouse(sub: argparse.ArgumentParser) -> None:
    """Add how to reach ClickHouse; the password comes from EVOMETRICS_CLICKHOUSE_PASSWORD."""
    sub.add_argument(
        "--clickhouse-url", type=filled, metavar="URL", help="ClickHouse (default: the local stack's)"
    )
    sub.add_argument(
        "--clickhouse-user", type=filled, metavar="NAME", help="ClickHouse user (default: default)"
    )
    sub.add_argument("--database", type=filled, help="ClickHouse database (default: evometrics)")


def add_servers(sub: argparse.ArgumentParser) -> None:
    """Add what every subcommand takes, and how to reach Kafka and ClickHouse."""
    add_server(sub)
    add_kafka(sub)


def add_server(sub: argparse.ArgumentParser) -> None:
    """Add what every subcommand takes, and how to reach ClickHouse."""
    add_common(sub)
    add_clickhouse(sub)


def add_local(sub: argparse.ArgumentParser) -> None:
    """Add how many brokers to start, and the flags that use running servers instead of ours."""
    text = "Kafka brokers to start: 1, or a cluster of 3 (default 1)"
    sub.add_argument("--local-brokers", type=broker_count, metavar="NUMBER", help=text)
    text = "use this Kafka instead of starting one"
    sub.add_argument("--brokers", type=filled, metavar="HOST:PORT[,...]", help=text)
    sub.add_argument(
        "--clickhouse-url", type=filled, metavar="URL", help="use this ClickHouse instead of starting one"
    )


def add_http(sub: argparse.ArgumentParser) -> None:
    """Add where health and metrics are served."""
    sub.add_argument("--http-port", type=port, help="port that serves /metrics and /health (default: none)")
    sub.add_argument("--http-host", type=filled, help="address to serve on (default 127.0.0.1)")


def add_logs(sub: argparse.ArgumentParser) -> None:
    """Add how to log."""
    from evometrics.schemas.service.logs import FORMATS, LEVELS

    sub.add_argument("--log-format", choices=FORMATS, help="text, or one JSON object a line (default text)")
    sub.add_argument("--log-level", choices=LEVELS, help="lowest level that is logged (default INFO)")
