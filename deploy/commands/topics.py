"""`evometrics topics`: creates, corrects and lists the topics; registers the schemas in a registry."""

from __future__ import annotations

import argparse
import dataclasses

from evometrics.deploy.console.options import add_common, add_kafka, add_layout, config_file, kafka_settings
from evometrics.deploy.console.tables import to_json


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_common(sub)
    text = "reset every topic's retention to that of a new topic (`republish` may have extended it)"
    sub.add_argument("--reset-retention", action="store_true", help=text)
    text = (
        "once the sinks have stored what the topics hold, delete all topics and the stream's states, and "
        "create them with --partitions; `republish` then fills them. Stop the nodes first"
    )
    sub.add_argument("--anew", action="store_true", help=text)
    sub.add_argument("--json", action="store_true", help="print JSON")
    add_kafka(sub)
    add_layout(sub)


async def run(args: argparse.Namespace) -> int:
    """Create the topics that are missing, correct the others, register the schemas, and list all."""
    from evometrics.deploy.pipeline.topics import create_topics, reset_retention
    from evometrics.schemas.wire.framing import open_wire

    if args.anew:
        from evometrics.deploy.pipeline.new_topics import make_anew
        from evometrics.schemas.service.settings import read_settings
        from evometrics.sinks.settings import SinkSettings
        from evometrics.streams.settings import StreamSettings

        sink = read_settings(SinkSettings, "sink", file=config_file(args))
        stream = read_settings(StreamSettings, "stream", file=config_file(args))
        states = await make_anew(kafka_settings(args), sink.group, stream.group)
    else:
        states = await create_topics(kafka_settings(args))
    if args.reset_retention:
        await reset_retention(kafka_settings(args))
    if args.json:
        print(to_json([dataclasses.asdict(state) for state in states]))
    else:
        for state in states:
            print(f"{state.name:36} {state.partitions:3} partitions  {state.words}")
    wire = await open_wire(kafka_settings(args))
    if wire.registry is not None and not args.json:
        print(f"{len(wire.writers)} schemas are registered in {wire.registry.name.removeprefix('schema ')}")
    return 0
