"""The local stack as the command line starts it: from its flags, with topics and tables."""

from __future__ import annotations

import argparse
import dataclasses
import os

from evometrics.deploy.clickhouse.settings import ServerSettings
from evometrics.deploy.console.options import clickhouse_settings, config_file, kafka_settings, log_settings
from evometrics.deploy.kafka.broker import copies
from evometrics.deploy.pipeline.topics import create_topics
from evometrics.deploy.process.ports import HOST
from evometrics.deploy.stack.parts import Preparation
from evometrics.deploy.stack.stack import LocalStack, StackSettings
from evometrics.deploy.stack.stackfile import StackAddresses
from evometrics.deploy.terminal import tell
from evometrics.schemas.service.disk import DiskSettings
from evometrics.schemas.service.http import HttpSettings
from evometrics.schemas.service.settings import DEFAULT, given_settings, read_settings, require
from evometrics.sinks.migrations.migrate import migrate


def local_stack(
    args: argparse.Namespace, *, stream_workers: int = 1, sink_workers: int = 1, pages: bool = False
) -> LocalStack:
    """Return the stack that the flags describe, not yet started; it reports its steps on standard error."""
    kafka = kafka_settings(args)
    reason = "the Kafka that is started here is PLAINTEXT: leave this out, or name another with --brokers"
    plaintext = kafka.security_protocol == "PLAINTEXT"
    require(plaintext or args.brokers is not None, "security_protocol", kafka.security_protocol, reason)
    clickhouse = clickhouse_settings(args, args.clickhouse_url or f"http://{HOST}")
    settings = StackSettings(
        data=args.data,
        local_brokers=args.local_brokers,
        external_brokers=args.brokers,
        kafka=kafka,
        external_clickhouse=args.clickhouse_url,
        clickhouse=clickhouse,
        clickhouse_server=server_settings(args, clickhouse.database),
        stream_workers=stream_workers,
        sink_workers=sink_workers,
        pages=pages,
        disk=read_settings(DiskSettings, "disk", file=config_file(args)),
        http=read_settings(HttpSettings, "http", file=config_file(args)),
    )
    replication = replication_for(args, settings)

    async def topics(addresses: StackAddresses) -> None:
        kafka = kafka_settings(args, addresses.brokers)
        for state in await create_topics(dataclasses.replace(kafka, replication=replication)):
            if state.changes or state.instead_of is not None:
                tell(f"topic {state.name}: {state.words}")
            for note in state.notes:
                tell(note)

    async def tables(addresses: StackAddresses) -> None:
        clickhouse = clickhouse_settings(args, addresses.clickhouse_url, addresses)
        if settings.external_clickhouse is None:
            clickhouse = dataclasses.replace(clickhouse, cluster="")  # the one started here is not a cluster
        await migrate(clickhouse)

    return LocalStack(settings, Preparation(topics, tables), tell, worker_flags(args, replication))


def server_settings(args: argparse.Namespace, database: str) -> ServerSettings:
    """Return how the embedded ClickHouse is run; its reader reads the stack's database if none is set."""
    section, file = "clickhouse_server", config_file(args)
    set_by = given_settings(ServerSettings, section, file=file)["reader_databases"].source
    flags = {"host": HOST, "reader_databases": database if set_by == DEFAULT else None}
    return read_settings(ServerSettings, section, flags=flags, file=file)


def replication_for(args: argparse.Namespace, settings: StackSettings) -> int:
    """Return the number of copies of each topic: as given, else as many as the brokers started here allow.

    Raises `SettingsError` if more are requested than brokers are started.
    """
    given = kafka_settings(args).replication
    if settings.external_brokers:
        return given
    named = (
        args.replication is not None
        or "EVOMETRICS_KAFKA_REPLICATION" in os.environ
        or "replication" in config_file(args).get("kafka", {})
    )
    if not named:
        return copies(settings.nodes)
    reason = f"cannot exceed the number of brokers started here (--local-brokers {settings.nodes})"
    require(given <= settings.nodes, "replication", given, reason)
    return given


def worker_flags(args: argparse.Namespace, replication: int) -> dict[str, list[str]]:
    """Return the additional flags of stream workers, sinks and pages; they inherit the environment."""
    config = [] if args.config is None else ["--config", str(args.config.resolve())]
    logs = log_settings(args)
    workers = [*config, "--log-format", logs.format, "--log-level", logs.level]
    # The stream creates topics too: the changelogs of its tables.
    return {"stream": [*workers, "--replication", str(replication)], "sink": workers, "ui": config}
