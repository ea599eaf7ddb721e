"""`evometrics import FILE`: reads it, reports rows it can't accept, publishes the missing events."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from evometrics.deploy.console.options import clickhouse_settings, config_file, kafka_settings
from evometrics.deploy.console.tables import QueryResult, table
from evometrics.deploy.exit_codes import ExitCode
from evometrics.deploy.history.alone import Alone
from evometrics.deploy.history.contents import check_file, kind_of
from evometrics.deploy.history.csv_source import CsvSource
from evometrics.deploy.history.engine_state import EngineState
from evometrics.deploy.history.json_lines import JsonLinesSource
from evometrics.deploy.history.parquet_source import ParquetSource
from evometrics.deploy.history.publishing import BATCH_BYTES, HistoryPublisher
from evometrics.deploy.history.readers.detection import TOOLS, refuse_folder, tool_of
from evometrics.deploy.history.reading import Reader
from evometrics.deploy.history.report import Report, TableCounts
from evometrics.deploy.history.sources import NOTHING_GIVEN, AboutFile, HistoryFile
from evometrics.deploy.history.sqlite import sqlite_source
from evometrics.deploy.history.staging import Staging
from evometrics.deploy.pipeline.drain import drain_stage
from evometrics.producers.publisher.framing import Framing
from evometrics.producers.publisher.session import check_topics, close, new_producer
from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.kafka.offsets import AIOKafkaAdminClient
from evometrics.schemas.rules.validation import NAME_CHARACTERS
from evometrics.schemas.service.settings import KafkaSettings, SettingsError, read_settings
from evometrics.schemas.topics import RAW_TOPICS
from evometrics.schemas.wire.registry import open_registry
from evometrics.sinks.clickhouse.client import CLICKHOUSE_ERRORS, ClickHouseUnavailable, explain, open_client
from evometrics.sinks.settings import ClickHouseSettings, SinkSettings

READERS: dict[str, Callable[[Path], HistoryFile]] = {
    "sqlite": sqlite_source,
    "state": EngineState,
    "csv": CsvSource,
    "jsonl": JsonLinesSource,
    "parquet": ParquetSource,
}
ROWS_AT_ONCE = 500


def opened(path: Path, kind: str | None, given: AboutFile = NOTHING_GIVEN) -> HistoryFile:
    """Return a file's source. Raises `SettingsError` if there is no file or it is of another kind."""
    try:
        check_file(path)
        if path.is_dir():
            refuse_folder(path)
        kind = kind or kind_of(path)
        tool = kind if kind in TOOLS else tool_of(path, kind)
        if tool:
            check_zone(tool, given)
            return TOOLS[tool](path, given)
        if given != NOTHING_GIVEN:
            raise SettingsError(
                f"--run-id and --timezone: are for files of {', '.join(TOOLS)}, but {path} is {kind}"
            )
        return READERS[kind](path)
    except OSError as error:
        raise SettingsError(f"{path}: can't be read: {error.strerror or error}") from None


def check_zone(tool: str, given: AboutFile) -> None:
    """Raise `SettingsError` if a zone is given for a tool whose times have one."""
    if given.zone is not None and tool != "optuna":
        raise SettingsError(f"--timezone: is for Optuna's local times; those of {tool} are Unix time")


def report_path(path: Path, given: Path | None) -> Path:
    """Return the path of the report of rejected rows."""
    return given or path.with_name(f"{path.name}.rejected.jsonl")


async def run(args: argparse.Namespace) -> int:
    """Import a file; return 0 if all its rows were accepted, 1 if some are in the report."""
    path: Path = args.file
    if not args.node_id or len(args.node_id) > NAME_CHARACTERS:
        raise SettingsError(f"--node-id: give a name of 1 to {NAME_CHARACTERS} characters")
    kafka, clickhouse = kafka_settings(args), clickhouse_settings(args)
    sink = read_settings(SinkSettings, "sink", file=config_file(args))
    source = opened(path, args.format, AboutFile(args.run_id or "", args.timezone))
    with Staging() as staging:
        with Report(report_path(path, args.report), path) as report:
            reader = Reader(source, args.node_id, staging, report)
            with tqdm(total=source.total, desc="read", unit="row", disable=None) as bar:
                for number, _ in enumerate(reader.read()):
                    bar.update()
                    if number % ROWS_AT_ONCE == 0:
                        await asyncio.sleep(0)  # lets Ctrl-C in
        waiting = staging.prepare()
        if not args.dry_run and waiting:
            deadline = time.monotonic() + args.wait
            try:
                with tqdm(total=waiting, desc="imported", unit="event", disable=None) as bar:
                    await publish(reader.counts, staging, kafka, clickhouse, sink.group, deadline, bar.update)
            except BaseException:
                show(args, reader.counts, report)
                raise
    show(args, reader.counts, report)
    return ExitCode.FAILED if report.rejected else ExitCode.DONE


async def publish(
    counts: dict[str, TableCounts],
    staging: Staging,
    kafka: KafkaSettings,
    clickhouse: ClickHouseSettings,
    sink_group: str,
    deadline: float,
    advance: Callable[[int], object],
) -> None:
    """Publish what is not there yet (see `publishing` for the order of these steps)."""
    client = await open_client(clickhouse)
    producer = new_producer(kafka, BATCH_BYTES)
    framing = Framing(open_registry(kafka))
    try:
        await producer.start()
        await check_topics(producer)
        async with Alone(kafka) as alone:
            await stored(kafka, sink_group, deadline)
            await HistoryPublisher(producer, client, framing, alone, counts).publish(staging, advance)
    except CLICKHOUSE_ERRORS as error:
        if isinstance(error, OSError):
            raise
        raise ClickHouseUnavailable(explain(clickhouse, error)) from error
    finally:
        await close(producer)
        await client.close()


async def stored(kafka: KafkaSettings, sink_group: str, deadline: float) -> None:
    """Wait until the sink has stored what the raw topics hold now. Raises `DrainTimeout`."""
    admin = AIOKafkaAdminClient(**client_options(kafka))
    await admin.start()
    try:
        await drain_stage(admin, kafka, sink_group, [topic.name for topic in RAW_TOPICS], deadline)
    finally:
        await admin.close()


def show(args: argparse.Namespace, counts: dict[str, TableCounts], report: Report) -> None:
    where = str(report.path) if report.rejected else None
    if args.json:
        tables = {name: dataclasses.asdict(found) for name, found in counts.items()}
        about = {"source": str(args.file), "dry_run": args.dry_run, "tables": tables, "report": where}
        print(json.dumps(about), flush=True)
        return
    columns = ["table", *(field.name for field in dataclasses.fields(TableCounts))]
    rows = [(name, *dataclasses.astuple(found)) for name, found in counts.items()]
    print(table(QueryResult(columns, rows)), flush=True)
    if args.dry_run:
        print("dry run: nothing was published, and no server was asked which events it already has")
    if where:
        print(f"{report.rejected} rows were rejected; {where} lists them with their reasons", file=sys.stderr)
