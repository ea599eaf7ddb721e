"""Flags of the command line, and how they become settings."""

from __future__ import annotations

import argparse
import dataclasses
import os
import tomllib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from evometrics.deploy.clickhouse.settings import ServerSettings
from evometrics.deploy.stack.password import read_password
from evometrics.deploy.stack.stackfile import StackAddresses, read_stack
from evometrics.schemas.kafka.client_options import named
from evometrics.schemas.service.disk import DiskSettings
from evometrics.schemas.service.health import HealthSettings
from evometrics.schemas.service.http import HttpSettings
from evometrics.schemas.service.logs import FORMATS, LEVELS, LogSettings
from evometrics.schemas.service.settings import (
    SECTIONS,
    KafkaSettings,
    SettingsError,
    check_names,
    given_settings,
    in_environment,
    read_settings,
)
from evometrics.schemas.topics import Topic
from evometrics.sinks.settings import ClickHouseSettings, SinkSettings
from evometrics.streams.settings import StreamSettings

DATA = ".evometrics"
#: What the parts that are started here are set by.
LOCAL: dict[str, type[Any]] = {
    "clickhouse": ClickHouseSettings,
    "clickhouse_server": ServerSettings,
    "disk": DiskSettings,
    "health": HealthSettings,
    "http": HttpSettings,
    "kafka": KafkaSettings,
    "log": LogSettings,
    "sink": SinkSettings,
    "stream": StreamSettings,
}

S = TypeVar("S", HttpSettings, LogSettings)


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


def port(text: str) -> int:
    """Parse a TCP port."""
    number = int(text) if text.isascii() and text.isdecimal() else 0
    if not 0 < number < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, a number from 1 to 65535")
    return number


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


def http_settings(args: argparse.Namespace) -> HttpSettings:
    """Return where to serve health and metrics, and to whom."""
    return section_settings(args, HttpSettings, "http")


def add_logs(sub: argparse.ArgumentParser) -> None:
    """Add how to log."""
    sub.add_argument("--log-format", choices=FORMATS, help="text, or one JSON object a line (default text)")
    sub.add_argument("--log-level", choices=LEVELS, help="lowest level that is logged (default INFO)")


def log_settings(args: argparse.Namespace) -> LogSettings:
    """Return how to log."""
    return section_settings(args, LogSettings, "log")


def section_settings(args: argparse.Namespace, cls: type[S], section: str) -> S:
    """Return the settings of a section whose flags, as far as there are any, are `--<section>-<name>`."""
    given = {each.name: getattr(args, f"{section}_{each.name}", None) for each in dataclasses.fields(cls)}
    return read_settings(cls, section, flags=given, file=config_file(args))


def config_file(args: argparse.Namespace) -> dict[str, Any]:
    """Return the `--config` file's entries. Raises `SettingsError` naming the file where it can't be read."""
    if args.config is None:
        return {}
    try:
        return tomllib.loads(args.config.read_text(encoding="utf-8-sig"))  # editors put a mark before it
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"--config {args.config}: {error}") from None


def check_settings(args: argparse.Namespace) -> None:
    """Raise `SettingsError` where file or environment names a setting that no part has."""
    names = {section: [field.name for field in dataclasses.fields(cls)] for section, cls in LOCAL.items()}
    # A node reads its own, in a process that may be another's.
    check_names({**dict.fromkeys(SECTIONS), **names}, os.environ, config_file(args))


def running_stack(args: argparse.Namespace) -> StackAddresses | None:
    """Return the addresses of the local stack that runs on `--data`, None where none does."""
    return read_stack(Path(args.data))


def kafka_settings(args: argparse.Namespace, brokers: str | None = None) -> KafkaSettings:
    """Return how to reach the broker: as given, else the local stack's, else the default address.

    Clients are named after the command, and after a worker's instance or this host.
    """
    given = {
        field.name: getattr(args, field.name, None)
        for field in dataclasses.fields(KafkaSettings)
        if field.name != "brokers"
    }
    given["brokers"] = brokers or getattr(args, "brokers", None)
    file = config_file(args)
    # a client.properties is that of another cluster
    named_elsewhere = any(
        in_environment("kafka", name, os.environ) or name in file.get("kafka", {})
        for name in ("brokers", "client_properties")
    )
    if not given["brokers"] and not named_elsewhere and (stack := running_stack(args)):
        given["brokers"] = stack.brokers
    kafka = read_settings(KafkaSettings, "kafka", flags=given, file=file)
    return named(kafka, args.command, getattr(args, "instance", None) or "")


def clickhouse_named(args: argparse.Namespace) -> bool:
    """Return whether a flag, the environment or the file says where ClickHouse is."""
    flag = getattr(args, "clickhouse_url", None)
    file = config_file(args).get("clickhouse", {})
    return bool(flag or in_environment("clickhouse", "url", os.environ) or "url" in file)


def clickhouse_settings(
    args: argparse.Namespace, url: str | None = None, stack: StackAddresses | None = None
) -> ClickHouseSettings:
    """Return how to reach ClickHouse: as given, else the local stack's, else the default address.

    `stack` is the local stack, where that is known; else it is the one that runs on `--data`. Its own
    ClickHouse is logged in to as the stack does, unless a password is given.
    """
    given = {
        "url": url or getattr(args, "clickhouse_url", None),
        "user": getattr(args, "clickhouse_user", None),
        "database": getattr(args, "database", None),
        "cluster": getattr(args, "cluster", None),
    }
    file = config_file(args)
    stack = stack or running_stack(args)
    if not given["url"] and not clickhouse_named(args) and stack:
        given["url"] = stack.clickhouse_url
    settings = read_settings(ClickHouseSettings, "clickhouse", flags=given, file=file)
    if stack is None or not stack.clickhouse_user or settings.url != stack.clickhouse_url:
        return settings
    if settings.password or settings.user not in (stack.clickhouse_user, ClickHouseSettings().user):
        return settings
    if stack.password_file is not None:
        password = read_password(stack.password_file)
    else:
        password = given_settings(ServerSettings, "clickhouse_server", file=file)["password"].value
    return dataclasses.replace(settings, user=stack.clickhouse_user, password=password)
