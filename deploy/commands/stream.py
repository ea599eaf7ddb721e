"""`evometrics stream`: a stream worker."""

from __future__ import annotations

import argparse

from evometrics.deploy.commands.workers import until_terminated
from evometrics.deploy.console.flags import add_common, add_http, add_kafka, add_layout, add_logs, filled
from evometrics.deploy.console.options import config_file, http_settings, kafka_settings, log_settings
from evometrics.schemas.service.health import HealthSettings
from evometrics.schemas.service.logs import set_up_logging
from evometrics.schemas.service.pace import set_pace
from evometrics.schemas.service.settings import read_settings
from evometrics.streams.settings import StreamSettings

#: Modules under whose names Faust logs its steps.
FAUST = ("evometrics.streams.worker.app", "evometrics.streams.worker.transport")


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    sub.set_defaults(prepare=set_pace)
    add_common(sub)
    sub.add_argument(
        "--instance", type=filled, help="this worker's name in its group; keep it across restarts"
    )
    sub.add_argument(
        "--leave-group",
        action="store_true",
        default=None,
        help="give the instance's partitions to others as soon as the worker is stopped",
    )
    add_kafka(sub)
    add_layout(sub)
    add_http(sub)
    add_logs(sub)


async def run(args: argparse.Namespace) -> int:
    """Run a stream worker until terminated."""
    from evometrics.streams.worker.worker import run_stream

    given = {"instance": args.instance, "leave_group": args.leave_group, "data": f"{args.data}/stream"}
    settings = read_settings(StreamSettings, "stream", flags=given, file=config_file(args))
    set_up_logging(log_settings(args), "stream", settings.instance, FAUST)
    kafka = kafka_settings(args)
    http = http_settings(args).address
    health = read_settings(HealthSettings, "health", file=config_file(args))
    return await until_terminated(lambda stop: run_stream(kafka, settings, http, stop, health))
