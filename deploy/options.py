"""Flags of the command line, and how they become settings."""

from __future__ import annotations

import argparse
import dataclasses
import os
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evometrics.deploy.stackfile import StackAddresses, read_stack
from evometrics.schemas.http import HttpAddress
from evometrics.schemas.settings import KafkaSettings, SettingsError, read_settings
from evometrics.sinks.settings import ClickHouseSettings

DATA = ".evometrics"


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return number


def iso_time(text: str) -> int:
    """Parse an ISO time as microseconds since 1970; one without a zone is UTC. Raises ValueError."""
    at = datetime.fromisoformat(text)
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def add_common(sub: argparse.ArgumentParser) -> None:
    """Add what every subcommand takes."""
    sub.add_argument("--data", default=DATA, help="folder of the local stack (default ./.evometrics)")
    sub.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings by section")


def add_kafka(sub: argparse.ArgumentParser) -> None:
    """Add how to reach the broker."""
    sub.add_argument("--brokers", metavar="HOST:PORT[,...]", help="Kafka (default: the local stack's)")
    sub.add_argument("--registry-url", metavar="URL", help="schema registry (default: none)")


def add_layout(sub: argparse.ArgumentParser) -> None:
    """Add how topics are laid out when they are created."""
    sub.add_argument("--partitions", type=positive, help="partitions of each topic (default 6)")
    sub.add_argument("--replication", type=positive, help="copies of each partition (default 1)")


def add_clickhouse(sub: argparse.ArgumentParser) -> None:
    """Add how to reach ClickHouse; the password comes from EVOMETRICS_CLICKHOUSE_PASSWORD."""
    sub.add_argument("--clickhouse-url", metavar="URL", help="ClickHouse (default: the local stack's)")
    sub.add_argument("--clickhouse-user", metavar="NAME", help="its user (default: default)")
    sub.add_argument("--database", help="its database (default: evometrics)")


def add_http(sub: argparse.ArgumentParser) -> None:
    """Add where health and metrics are served."""
    sub.add_argument("--http-port", type=int, help="serve /metrics and /health here (default: not at all)")
    sub.add_argument("--http-host", default="127.0.0.1", help="address to serve on (default 127.0.0.1)")


def http_address(args: argparse.Namespace) -> HttpAddress | None:
    """Return where to serve health and metrics, None for not at all."""
    return None if args.http_port is None else HttpAddress(args.http_port, args.http_host)


def config_file(args: argparse.Namespace) -> dict[str, Any]:
    """Return the `--config` file's entries. Raises `SettingsError` naming the file where it can't be read."""
    if args.config is None:
        return {}
    try:
        return tomllib.loads(args.config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"--config {args.config}: {error}") from None


def running_stack(args: argparse.Namespace) -> StackAddresses | None:
    """Return the addresses of the local stack that runs on `--data`, None where none does."""
    return read_stack(Path(args.data))


def kafka_settings(args: argparse.Namespace, brokers: str | None = None) -> KafkaSettings:
    """Return how to reach the broker: as given, else the local stack's, else the default address."""
    given = {
        field.name: getattr(args, field.name, None)
        for field in dataclasses.fields(KafkaSettings)
        if field.name != "brokers"
    }
    given["brokers"] = brokers or getattr(args, "brokers", None)
    file = config_file(args)
    named_elsewhere = "EVOMETRICS_KAFKA_BROKERS" in os.environ or "brokers" in file.get("kafka", {})
    if not given["brokers"] and not named_elsewhere and (stack := running_stack(args)):
        given["brokers"] = stack.brokers
    return read_settings(KafkaSettings, "kafka", flags=given, file=file)


def clickhouse_settings(args: argparse.Namespace, url: str | None = None) -> ClickHouseSettings:
    """Return how to reach ClickHouse: as given, else the local stack's, else the default address."""
    given = {
        "url": url or getattr(args, "clickhouse_url", None),
        "user": getattr(args, "clickhouse_user", None),
        "database": getattr(args, "database", None),
        "cluster": getattr(args, "cluster", None),
    }
    file = config_file(args)
    named_elsewhere = "EVOMETRICS_CLICKHOUSE_URL" in os.environ or "url" in file.get("clickhouse", {})
    if not given["url"] and not named_elsewhere and (stack := running_stack(args)):
        given["url"] = stack.clickhouse_url
    return read_settings(ClickHouseSettings, "clickhouse", flags=given, file=file)
