"""`evometrics republish`: raw tables back onto topics."""

from __future__ import annotations

import argparse
import sys
import time

from tqdm import tqdm

from evometrics.deploy.commands.republish import selection
from evometrics.deploy.console.options import clickhouse_settings, config_file, kafka_settings
from evometrics.deploy.console.tables import to_json
from evometrics.schemas.service.settings import read_settings
from evometrics.schemas.topics import BY_NAME
from evometrics.schemas.wire.framing import open_wire, wire_of
from evometrics.sinks.raw.tables import RawTables
from evometrics.sinks.republish.republish import Republisher, RepublishSettings, to_send
from evometrics.sinks.republish.target import TopicTarget
from evometrics.streams.settings import StreamSettings
from evometrics.streams.sources.topics import EVOLUTION_TOPICS, SNAPSHOT_TOPICS


async def run_republish(args: argparse.Namespace) -> int:
    """Send the selected events, or report what would be sent."""
    kafka, meant = kafka_settings(args), selection(args)
    stream = read_settings(
        StreamSettings, "stream", flags={"group": args.stream_group}, file=config_file(args)
    )
    settings = RepublishSettings(
        "" if args.no_wait else stream.group, args.ahead_hours, among_others=args.among_others
    )
    began = time.monotonic()
    wire = wire_of(kafka) if args.dry_run else await open_wire(kafka)
    async with RawTables(clickhouse_settings(args), meant, wire, made_again=True) as tables:
        await tables.check_known()
        topics = [topic.name for topic in meant.topics]
        async with TopicTarget(kafka, wire, await tables.identity(), topics) as target:
            progress = await target.progress(settings.among_others)
            counts = await to_send(tables, progress)
            if args.dry_run:
                tell_counts(args, counts, "to_send", "would be sent", progress.time)
                return 0
            with tqdm(total=sum(counts.values()), desc="sent", unit="event", disable=None) as bar:
                read = (*EVOLUTION_TOPICS, *SNAPSHOT_TOPICS)
                republisher = Republisher(tables, target, settings, read, say, bar.update)
                done = await republisher.run(progress)
    sent = {topic: done.sent[topic] for topic in counts}
    tell_counts(args, sent, "sent", f"sent in {time.monotonic() - began:.0f} s", progress.time)
    return 0


def say(line: str) -> None:
    """Print a line for the operator; results go to standard output."""
    tqdm.write(line, file=sys.stderr)


def tell_counts(args: argparse.Namespace, counts: dict[str, int], name: str, words: str, after: int) -> None:
    """Print the number of events by table."""
    by_table = {BY_NAME[topic].table: number for topic, number in counts.items()}
    if args.json:
        print(to_json({name: by_table, "resumed": after > 0}))
        return
    for each, number in by_table.items():
        print(f"{each:24} {number:10}")
    earlier = "; an earlier run sent the others" if after else ""
    print(f"{sum(counts.values())} events {words}{earlier}")
