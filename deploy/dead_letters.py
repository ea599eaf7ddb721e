"""`evometrics dead-letters list | show | retry`: what could not be read or stored, and sending it again."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from typing import Any

from tqdm import tqdm

from evometrics.deploy.options import clickhouse_settings, kafka_settings
from evometrics.deploy.tables import Found, cell, table, to_json
from evometrics.schemas.events import now_micros
from evometrics.schemas.registry import RegistryClient
from evometrics.schemas.settings import KafkaSettings, SettingsError
from evometrics.schemas.wire import WireFormat
from evometrics.sinks.letters import Bytes, DeadMessage, Letters, Selection, source_topic
from evometrics.sinks.letters_retry import Retrier, plan_retry, recorded, unreadable
from evometrics.sinks.letters_show import dump, reading

DUMP_BYTES = 1024
#: Reasons that are told in words where a retry leaves messages; the others are counted.
LEFT_SHOWN = 10


def wire_of(kafka: KafkaSettings) -> WireFormat:
    """Return what reads messages; nothing is registered."""
    return WireFormat(RegistryClient(kafka.registry_url) if kafka.registry_url else None)


def selection(args: argparse.Namespace, **more: Any) -> Selection:
    """Return which messages are meant."""
    return Selection(topic=source_topic(args.topic) if args.topic else None, stage=args.stage, **more)


async def run(args: argparse.Namespace) -> int:
    """Run the action that the flags name; return the exit code."""
    actions = {"list": run_list, "show": run_show, "retry": run_retry}
    return await actions[args.action](args)


async def run_list(args: argparse.Namespace) -> int:
    """List the messages that are dead letters."""
    meant = selection(args, since=args.since)
    async with Letters(clickhouse_settings(args)) as letters:
        found = await letters.find(meant)
    if args.json:
        for message in found[: args.limit]:
            print(to_json(as_json(message)))
        return 0
    columns = ["event_id", "topic", "partition", "offset", "stages", "time", "bytes", "state", "reason"]
    rows: list[tuple[Any, ...]] = [
        (
            message.letters[0].event_id,
            *message.source,
            ", ".join(letter.stage for letter in message.letters),
            moment(message.at),
            message.size,
            message.state,
            message.letters[0].reason,
        )
        for message in found[: args.limit]
    ]
    if not found:
        print("no dead letters")
        return 0
    print(table(Found(columns, rows)))
    states = Counter(message.state for message in found)
    counted = f"{len(found)} messages: {states['open']} open, {states['retried']} retried"
    print(f"\n{counted}" + (f"; --limit {len(found)} lists all" if len(found) > args.limit else ""))
    return 0


async def run_show(args: argparse.Namespace) -> int:
    """Show one message with all that is known of it."""
    wire = wire_of(kafka_settings(args))
    async with Letters(clickhouse_settings(args)) as letters:
        found = await letters.find(Selection(event_ids=(args.event_id,)))
        ((message, content),) = [pair async for page in letters.messages(found) for pair in page]
    read = await asyncio.to_thread(reading, wire, content.value)
    still = await asyncio.to_thread(unreadable, message, content, wire)
    if args.json:
        about = as_json(message) | {
            "key": content.key.hex() if content.key is not None else None,
            "value": content.value.hex() if content.value is not None else None,
            "schema": read.schema,
            "fields": {name: readable(value) for name, value in read.fields.items()},
            "read_bytes": read.read_bytes,
            "problem": still or read.problem,
        }
        print(to_json(about))
        return 0
    print(f"message   {message.source}, of {moment(message.at)}")
    print(f"state     {message.state}")
    for retry in message.retries:
        place = f"{message.source.topic}[{retry.partition}] offset {retry.offset}"
        print(f"retried   {moment(retry.at)} by {retry.node_id}, to {place}")
    for letter in message.letters:
        print(f"{letter.stage:9} {letter.reason}\n          letter {letter.event_id} of {letter.node_id}")
    print(f"key       {content.key!r}")
    print_value(message, content)
    print(f"schema    {read.schema or 'unknown'}")
    for name, value in read.fields.items():
        print(f"          {name} = {cell(readable(value))}")
    if read.schema:
        print(f"read      {read.read_bytes} of {len(content.value or b'')} bytes")
    print(
        f"now       {f'still bad: {still}' if still else 'this version reads it: send it again with retry'}"
    )
    return 0


def print_value(message: DeadMessage, content: Bytes) -> None:
    """Print a hex dump of a message's value."""
    if content.value is None:
        print("value     none")
        return
    cut = f", the beginning of {message.whole_size}" if message.whole_size is not None else ""
    print(f"value     {len(content.value)} bytes{cut}")
    for line in dump(content.value, DUMP_BYTES):
        print(f"          {line}")


async def run_retry(args: argparse.Namespace) -> int:
    """Send messages again; 1 where one that was named by id can't be."""
    if bool(args.event_ids) == args.all:
        raise SettingsError(
            "name what to send again: ids of dead letters, or --all for every open one (of a --topic or "
            "--stage); --dry-run says what that would be"
        )
    meant = selection(args, event_ids=tuple(args.event_ids))
    kafka = kafka_settings(args)
    wire = wire_of(kafka)
    async with Letters(clickhouse_settings(args)) as letters:
        plan = await plan_retry(letters, wire, meant)
        sent, seen = 0, True
        if plan.send and not args.dry_run:
            began = now_micros()
            async with Retrier(kafka, await asyncio.to_thread(registered, wire)) as retrier:
                with tqdm(total=len(plan.send), desc="sent again", unit="message", disable=None) as bar:
                    sent = await retrier.send(letters, plan.send, bar.update)
            seen = await recorded(letters, plan.send, began)
    if args.json:
        about = {
            "sent": [] if args.dry_run else [as_json(message) for message in plan.send],
            "to_send": [as_json(message) for message in plan.send] if args.dry_run else [],
            "left": [as_json(message) | {"because": reason} for message, reason in plan.left],
            "recorded": seen,
        }
        print(to_json(about))
    else:
        for message, reason in plan.left[:LEFT_SHOWN]:
            print(f"left: {message.letters[0].event_id} ({message.source}) {reason}", file=sys.stderr)
        if len(plan.left) > LEFT_SHOWN:
            print(f"left: {len(plan.left) - LEFT_SHOWN} more", file=sys.stderr)
        if args.dry_run:
            print(f"{len(plan.send)} messages would be sent again, {len(plan.left)} left")
        else:
            print(f"{sent} messages sent again, {len(plan.left)} left")
    if not seen:
        print("the sink has not stored yet that they were: wait until `list` shows it", file=sys.stderr)
    return 1 if args.event_ids and plan.left else 0


def registered(wire: WireFormat) -> WireFormat:
    """Return the wire format, ready to write. Raises `RegistryUnavailable`."""
    wire.register()
    return wire


def as_json(message: DeadMessage) -> dict[str, Any]:
    """Return what is known of a message, but for its bytes."""
    return {
        "event_id": message.letters[0].event_id,
        "source": message.source._asdict(),
        "agent_id": message.agent_id,
        "time": moment(message.at),
        "bytes": message.size,
        "whole_bytes": message.whole_size if message.whole_size is not None else message.size,
        "state": message.state,
        "letters": [letter._asdict() for letter in message.letters],
        "retries": [retry._asdict() | {"at": moment(retry.at)} for retry in message.retries],
    }


def moment(at: int) -> str:
    """Return microseconds since 1970 as ISO time to the second, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at // 1_000_000))


def readable(value: Any) -> Any:
    """Return a field's value as JSON has it: bytes as hex."""
    return value.hex() if isinstance(value, bytes) else value
