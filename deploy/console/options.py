"""How flags, environment and file become settings."""

from __future__ import annotations

import argparse
import dataclasses
import os
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from evometrics.deploy.clickhouse.settings import ServerSettings
from evometrics.deploy.stack.password import read_password
from evometrics.deploy.stack.stackfile import StackAddresses, read_stack
from evometrics.schemas.kafka.client_options import named
from evometrics.schemas.service.disk import DiskSettings
from evometrics.schemas.service.health import HealthSettings
from evometrics.schemas.service.http import HttpSettings
from evometrics.schemas.service.logs import LogSettings
from evometrics.schemas.service.settings import (
    SECTIONS,
    KafkaSettings,
    SettingsError,
    check_names,
    given_settings,
    in_environment,
    read_settings,
)
from evometrics.sinks.settings import ClickHouseSettings, SinkSettings
from evometrics.streams.settings import StreamSettings

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


def http_settings(args: argparse.Namespace) -> HttpSettings:
    """Return where to serve health and metrics, and to whom."""
    return section_settings(args, HttpSettings, "http")


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
    if not given["brokers"] and not kafka_named(args) and (stack := running_stack(args)):
        given["brokers"] = stack.brokers
    kafka = read_settings(KafkaSettings, "kafka", flags=given, file=config_file(args))
    return named(kafka, args.command, getattr(args, "instance", None) or "")


def kafka_named(args: argparse.Namespace) -> bool:
    """Return whether a flag, the environment or the file says where Kafka is."""
    file = config_file(args).get("kafka", {})
    # a client.properties is that of another cluster
    settings = ("brokers", "client_properties")
    elsewhere = any(in_environment("kafka", name, os.environ) or name in file for name in settings)
    return bool(getattr(args, "brokers", None)) or elsewhere


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
