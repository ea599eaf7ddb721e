"""`evometrics dead-letters list | show | retry`: unreadable or unstorable messages, and retrying them."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import time
from contextlib import AsyncExitStack, aclosing
from tempfile import TemporaryFile
from typing import IO, Any, Self

from tqdm import tqdm

from evometrics.deploy.console.options import clickhouse_settings, kafka_settings
from evometrics.deploy.console.tables import Columns, QueryResult, cell, to_json
from evometrics.deploy.exit_codes import ExitCode
from evometrics.schemas.events import now_micros
from evometrics.schemas.service.settings import SettingsError
from evometrics.schemas.wire.framing import wire_of
from evometrics.sinks.letters.dead_message import Bytes, DeadMessage
from evometrics.sinks.letters.letters import Letters, Selection, source_topic
from evometrics.sinks.letters.retry import RetryPlan, plan_retry, recorded, send_again, unreadable
from evometrics.sinks.letters.show import dump, reading

DUMP_BYTES = 1024
LISTED = ["event_id", "topic", "partition", "offset", "stages", "time", "bytes", "state", "reason"]
#: Reasons that are written out if a retry leaves messages; the others are counted.
LEFT_SHOWN = 10


def selection(args: argparse.Namespace, **more: Any) -> Selection:
    """Return which messages are selected."""
    return Selection(topic=source_topic(args.topic) if args.topic else None, stage=args.stage, **more)


async def run(args: argparse.Namespace) -> int:
    """Run the action that the flags name; return the exit code."""
    actions = {"list": run_list, "show": run_show, "retry": run_retry}
    return await actions[args.action](args)


async def run_list(args: argparse.Namespace) -> int:
    """List the dead messages, as they arrive."""
    meant = selection(args, since=args.since)
    columns = None
    async with Letters(clickhouse_settings(args)) as letters:
        async for page in letters.pages(meant, args.limit):
            if args.json:
                for message in page:
                    print(to_json(as_json(message)))
                continue
            found = QueryResult(LISTED, [row_of(message) for message in page])
            if columns is None:
                columns = Columns(found)
                print(columns.head())
            print("\n".join(map(columns.line, found.rows)))
        if args.json:
            return 0
        number, retried = await letters.count(meant)
    if columns is None:
        print("no dead letters")
        return 0
    counted = f"{number} messages: {number - retried} open, {retried} retried"
    print(f"\n{counted}" + (f"; --limit {number} lists all" if number > args.limit else ""))
    return 0


def row_of(message: DeadMessage) -> tuple[Any, ...]:
    """Return a message as a row of the list."""
    return (
        message.letters[0].event_id,
        *message.source,
        ", ".join(letter.stage for letter in message.letters),
        moment(message.at),
        message.size,
        message.state,
        message.letters[0].reason,
    )


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
    """Send messages again; return 1 if one that was named by id can't be."""
    if bool(args.event_ids) == args.all:
        raise SettingsError(
            "name what to send again: ids of dead letters, or --all for every open one (of a --topic or "
            "--stage); --dry-run shows which those are"
        )
    meant = selection(args, event_ids=tuple(args.event_ids))
    kafka = kafka_settings(args)
    wire = wire_of(kafka)
    outcome = RetrySummary()
    began, seen = now_micros(), True
    async with AsyncExitStack() as stack:
        stack.enter_context(outcome)
        letters = await stack.enter_async_context(Letters(clickhouse_settings(args)))
        total = (await letters.count(meant)).messages
        bar = stack.enter_context(tqdm(total=total, desc="checked", unit="message", disable=None))
        plans = plan_retry(letters, wire, meant)
        if not args.dry_run:
            plans = send_again(letters, kafka, wire, meant, "cli")
        async with aclosing(plans):
            async for plan in plans:
                outcome.add(plan, as_documents=args.json)
                bar.update(len(plan.send) + len(plan.left))
        if outcome.sent and not args.dry_run:
            seen = await recorded(letters, outcome.ends, began)
        bar.close()
        outcome.tell(args, seen)
    if not seen:
        print(
            "the sink has not stored the record of the retries yet: wait until `list` shows it",
            file=sys.stderr,
        )
    return ExitCode.FAILED if args.event_ids and outcome.left else ExitCode.DONE


class RetrySummary:
    """A retry's result, for its report; keeps only a few messages in memory, however many there are.

    Attributes:
        sent, left: how many messages were sent again, or would be, and how many were not.
        ends: the first and the last that were.
    """

    def __init__(self) -> None:
        self.sent = self.left = 0
        self.ends: list[DeadMessage] = []
        self.shown: list[str] = []
        self.files = [TemporaryFile("w+", encoding="utf-8") for _ in range(2)]  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self.files:
            file.close()

    def add(self, plan: RetryPlan, *, as_documents: bool) -> None:
        """Add the results of some messages."""
        for message, _ in plan.send:
            self.sent += 1
            self.ends = [*self.ends[:1], message]
            if as_documents:
                self.files[0].write((", " if self.sent > 1 else "") + to_json(as_json(message)))
        for message, reason in plan.left:
            self.left += 1
            if as_documents:
                about = as_json(message) | {"because": reason}
                self.files[1].write((", " if self.left > 1 else "") + to_json(about))
            elif len(self.shown) < LEFT_SHOWN:
                self.shown.append(f"left: {message.letters[0].event_id} ({message.source}) {reason}")

    def tell(self, args: argparse.Namespace, seen: bool) -> None:
        """Print the summary."""
        if args.json:
            sent, left = self.files
            parts: list[str | IO[str]] = ['{"sent": [', "" if args.dry_run else sent, '], "to_send": [']
            parts += [
                sent if args.dry_run else "",
                '], "left": [',
                left,
                f'], "recorded": {to_json(seen)}}}\n',
            ]
            for part in parts:
                if isinstance(part, str):
                    sys.stdout.write(part)
                    continue
                part.seek(0)
                shutil.copyfileobj(part, sys.stdout)
            return
        for line in self.shown:
            print(line, file=sys.stderr)
        if self.left > len(self.shown):
            print(f"left: {self.left - len(self.shown)} more", file=sys.stderr)
        told = "would be sent again" if args.dry_run else "sent again"
        print(f"{self.sent} messages {told}, {self.left} left")


def as_json(message: DeadMessage) -> dict[str, Any]:
    """Return a message's data except its bytes."""
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
    """Return a field's value as JSON represents it: bytes as hex."""
    return value.hex() if isinstance(value, bytes) else value
