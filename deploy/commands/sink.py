"""`evometrics sink`: a sink worker."""

from __future__ import annotations

import argparse
from pathlib import Path

from evometrics.deploy.commands.workers import until_terminated
from evometrics.deploy.console.flags import add_clickhouse, add_common, add_http, add_kafka, add_logs
from evometrics.deploy.console.options import (
    clickhouse_settings,
    config_file,
    http_settings,
    kafka_settings,
    log_settings,
)
from evometrics.schemas.service.health import HealthSettings
from evometrics.schemas.service.logs import set_up_logging
from evometrics.schemas.service.pace import set_pace
from evometrics.schemas.service.settings import read_settings
from evometrics.sinks.settings import SinkSettings


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    sub.set_defaults(prepare=set_pace)
    add_common(sub)
    add_kafka(sub)
    add_clickhouse(sub)
    add_http(sub)
    add_logs(sub)


async def run(args: argparse.Namespace) -> int:
    """Run a sink worker until terminated."""
    from evometrics.sinks.worker.worker import run_sink

    set_up_logging(log_settings(args), "sink")
    settings = read_settings(SinkSettings, "sink", file=config_file(args))
    kafka, clickhouse = kafka_settings(args), clickhouse_settings(args)
    http = http_settings(args).address
    health = read_settings(HealthSettings, "health", file=config_file(args))
    disks = {name: Path(args.data) / name for name in ("kafka", "clickhouse")}  # of a stack on this machine
    return await until_terminated(
        lambda stop: run_sink(kafka, clickhouse, settings, http, stop, health, disks)
    )
