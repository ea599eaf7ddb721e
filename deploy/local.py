"""The local stack as the command line starts it: flags in, topics and tables made, a line a step."""

from __future__ import annotations

import argparse
import sys

from evometrics.deploy.options import clickhouse_settings, kafka_settings
from evometrics.deploy.stack import LocalStack, StackSettings
from evometrics.deploy.stackfile import StackAddresses
from evometrics.deploy.topics import create_topics
from evometrics.sinks.migrate import migrate


def local_stack(args: argparse.Namespace, *, stream_workers: int = 1, sink_workers: int = 1) -> LocalStack:
    """Return the stack that the flags describe, not yet started; it reports its steps on standard error."""
    settings = StackSettings(
        data=args.data,
        external_broker=args.broker,
        external_clickhouse=args.clickhouse,
        stream_workers=stream_workers,
        sink_workers=sink_workers,
    )

    async def prepare(addresses: StackAddresses) -> None:
        await create_topics(kafka_settings(args, addresses.brokers))
        await migrate(clickhouse_settings(args, addresses.clickhouse_url))

    return LocalStack(settings, prepare, tell, worker_flags(args))


def worker_flags(args: argparse.Namespace) -> dict[str, list[str]]:
    """Return the flags that stream workers and sinks are to have as well; they inherit the environment."""
    config = [] if args.config is None else ["--config", str(args.config.resolve())]
    return {"stream": config, "sink": config}


def tell(line: str) -> None:
    """Print a step for the person who waits; results go to standard output."""
    print(line, file=sys.stderr, flush=True)
