"""`evometrics topics`: creates, corrects and lists topics, registers schemas, prints rights of roles."""

from __future__ import annotations

import argparse
import dataclasses

from evometrics.deploy.console.flags import add_common, add_kafka, add_layout, filled
from evometrics.deploy.console.options import config_file, kafka_settings
from evometrics.deploy.console.tables import to_json
from evometrics.deploy.exit_codes import ExitCode
from evometrics.deploy.terminal import tell
from evometrics.schemas.service.settings import SettingsError, read_settings


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
    text = (
        "print the rights that each role needs, for the groups in the settings, as commands for "
        "kafka-acls.sh; nothing is connected to"
    )
    sub.add_argument("--acls", action="store_true", help=text)
    text = "with --acls: print KafkaUser resources for this Kafka cluster of Strimzi instead"
    sub.add_argument("--strimzi", type=filled, metavar="CLUSTER", help=text)
    text = (
        "with --acls: the Kafka user of a role; may be repeated (default: evometrics-ROLE, or with client "
        "certificates instead of a login CN=evometrics-ROLE)"
    )
    sub.add_argument(
        "--principal", type=principal, action="append", default=[], metavar="ROLE=USER", help=text
    )
    add_kafka(sub)
    add_layout(sub)


def principal(text: str) -> tuple[str, str]:
    """Parse a role and its user."""
    role, _, user = text.partition("=")
    if not role or not user.removeprefix("User:").strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not ROLE=USER, such as sink=User:metrics-sink")
    return role, user


async def run(args: argparse.Namespace) -> int:
    """Create the topics that are missing, correct the others, register schemas, list all; or print rights."""
    if args.acls:
        print(rights(args))
        return 0
    if args.principal or args.strimzi:
        raise SettingsError(
            f"--{'principal' if args.principal else 'strimzi'} applies to --acls: give that, too"
        )
    from evometrics.deploy.pipeline.topics import create_topics, reset_retention
    from evometrics.schemas.wire.framing import open_wire

    kafka = kafka_settings(args)
    if args.anew:
        from evometrics.deploy.pipeline.new_topics import make_anew

        stream, sink = groups(args)
        states = await make_anew(kafka, sink, stream)
    else:
        states = await create_topics(kafka)
    if args.reset_retention:
        await reset_retention(kafka)
    if args.json:
        print(to_json([dataclasses.asdict(state) for state in states]))
    else:
        for state in states:
            print(f"{state.name:36} {state.partitions:3} partitions  {state.words}")
    for state in states:
        for note in state.notes:
            tell(note)
    wire = await open_wire(kafka)
    if wire.registry is not None and not args.json:
        print(f"{len(wire.writers)} schemas are registered in {wire.registry.name.removeprefix('schema ')}")
    unusable = [state.name for state in states if not state.usable]
    if unusable:
        tell(
            f"evometrics topics: the pipeline does not work with {', '.join(unusable)} as they are: set what "
            "is named above as a new topic has it (kafka-configs.sh --alter), or grant ALTER_CONFIGS"
        )
    return ExitCode.FAILED if unusable else ExitCode.DONE


def rights(args: argparse.Namespace) -> str:
    """Return what to print of the rights that each role needs. Raises `SettingsError`."""
    from evometrics.deploy.pipeline.acls import kafka_acls, kafka_users, users
    from evometrics.deploy.pipeline.rights import roles

    for flag in ("anew", "reset_retention", "json"):
        if getattr(args, flag):
            raise SettingsError(f"--acls prints rights only: leave --{flag.replace('_', '-')} out")
    kafka, known = kafka_settings(args), roles(*groups(args))
    names = users(kafka, dict(args.principal), known)
    if args.strimzi:
        return kafka_users(kafka, known, names, args.strimzi)
    return kafka_acls(kafka, known, names)


def groups(args: argparse.Namespace) -> tuple[str, str]:
    """Return the groups of the stream workers and of the sinks."""
    from evometrics.sinks.settings import SinkSettings
    from evometrics.streams.settings import StreamSettings

    file = config_file(args)
    stream = read_settings(StreamSettings, "stream", file=file)
    return stream.group, read_settings(SinkSettings, "sink", file=file).group
