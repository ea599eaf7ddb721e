"""`evometrics replay`: recomputes derived tables; the flags, and the settings they become."""

from __future__ import annotations

import argparse

from evometrics.deploy.console.flags import add_servers, moment, positive, tables_among, words
from evometrics.deploy.console.options import clickhouse_settings, config_file, kafka_settings
from evometrics.schemas.service.pace import set_pace
from evometrics.schemas.service.settings import SettingsError, read_settings, require
from evometrics.schemas.topics import DERIVED_TOPICS
from evometrics.schemas.wire.framing import wire_of
from evometrics.sinks.raw.tables import RawSelection
from evometrics.sinks.replay.settings import ReplaySettings
from evometrics.sinks.replay.source import EventSource, TableSource
from evometrics.sinks.replay.topics import Beginning, TopicSource
from evometrics.streams.settings import StreamSettings

TABLES, KAFKA = "tables", "kafka"


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    sub.set_defaults(prepare=set_pace)
    defaults = ReplaySettings()
    names = ", ".join(topic.table for topic in DERIVED_TOPICS)
    parse = tables_among(DERIVED_TOPICS, "derived", "the others are recorded, not derived")
    text = (
        f"only these tables, separated by commas (default: {names}); kpi_deltas also creates missing "
        "snapshots"
    )
    sub.add_argument("--tables", type=parse, help=text)
    sub.add_argument(
        "--from", type=moment, dest="since", metavar="TIME", help="only rows from this ISO time on"
    )
    sub.add_argument("--to", type=moment, dest="until", metavar="TIME", help="only rows before this ISO time")
    text = "only rows of these agents, separated by commas; success rates only per agent"
    sub.add_argument("--agents", type=words, default=(), help=text)
    sub.add_argument("--apply", action="store_true", help="correct the rows that differ")
    sub.add_argument(
        "--lateness-hours",
        type=float,
        metavar="HOURS",
        help="how late an event may still correct success rates and KPI deltas (default: as late as the "
        "stream allows)",
    )
    sub.add_argument(
        "--settle-seconds",
        type=float,
        default=defaults.settle_seconds,
        metavar="SECONDS",
        help="leave alone rows that were stored less than this long before the replay began: delete none of "
        "them, and replace none by an older version (default 60)",
    )
    text = f"number of rows to show per kind of difference (default {defaults.samples})"
    sub.add_argument("--samples", type=int, default=defaults.samples, metavar="NUMBER", help=text)
    text = f"where raw events are read from: ClickHouse's raw {TABLES} (default), or Kafka's topics ({KAFKA})"
    sub.add_argument("--source", choices=(TABLES, KAFKA), default=TABLES, help=text)
    sub.add_argument(
        "--offsets",
        type=first_offsets,
        default={},
        metavar="TOPIC:PARTITION=OFFSET[,...]",
        help="with --source kafka: offsets to start these partitions at, instead of their first ones",
    )
    text = "begin again, although an interrupted replay could go on"
    sub.add_argument("--restart", action="store_true", help=text)
    text = "number of processes that share the partitions to compute (default: this one alone)"
    sub.add_argument("--processes", type=positive, default=defaults.processes, metavar="NUMBER", help=text)
    sub.add_argument("--json", action="store_true", help="print JSON")
    add_servers(sub)


async def run(args: argparse.Namespace) -> int:
    """Recompute derived tables, show the differences, and repair them if requested."""
    from evometrics.deploy.commands.replay_work import run_replay

    return await run_replay(args)


def replay_settings(args: argparse.Namespace) -> ReplaySettings:
    """Return the selection to replay. Raises `SettingsError`."""
    if args.since is not None and args.until is not None:
        require(args.since < args.until, "--to", args.until, "must be after --from")
    meant = RawSelection(args.tables or DERIVED_TOPICS, args.since, args.until, args.agents)
    return ReplaySettings(meant, args.settle_seconds, processes=args.processes, samples=args.samples)


def first_offsets(text: str) -> dict[tuple[str, int], int]:
    """Parse offsets by topic and partition."""
    found = {}
    for word in words(text):
        place, _, offset = word.rpartition("=")
        topic, _, partition = place.rpartition(":")
        if not topic or not partition.isdecimal() or not offset.isdecimal():
            raise argparse.ArgumentTypeError(f"{word!r} is not TOPIC:PARTITION=OFFSET")
        found[topic, int(partition)] = int(offset)
    return found


def source(args: argparse.Namespace, settings: ReplaySettings, stream: StreamSettings) -> EventSource:
    """Return where events are read from. Raises `SettingsError`."""
    begin = settings.begin(stream)
    if args.source == TABLES:
        if args.offsets:
            raise SettingsError(f"--offsets applies to Kafka's topics: give --source {KAFKA} as well")
        return TableSource(clickhouse_settings(args), settings.sources(), begin)
    kafka = kafka_settings(args)
    return TopicSource(kafka, wire_of(kafka), settings.sources(), Beginning(begin, args.offsets))


def stream_settings(args: argparse.Namespace) -> StreamSettings:
    """Return the stream's settings for computing: its workers' own, except for `--lateness-hours`."""
    lateness = args.lateness_hours
    given = {"allowed_lateness_seconds": None if lateness is None else round(lateness * 3600)}
    return read_settings(StreamSettings, "stream", flags=given, file=config_file(args))
