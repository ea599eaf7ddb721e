"""The command line `evometrics`: one subcommand for each thing that a person or a supervisor starts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Coroutine

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from evometrics.deploy import commands
from evometrics.deploy.dead_letters_flags import add_dead_letters
from evometrics.deploy.import_flags import add_import
from evometrics.deploy.migrations import add_migrate
from evometrics.deploy.options import (
    add_clickhouse,
    add_common,
    add_http,
    add_kafka,
    add_layout,
    positive,
)
from evometrics.deploy.replay_flags import add_replay
from evometrics.deploy.republish_flags import add_republish
from evometrics.schemas import tasks
from evometrics.schemas.bootstrap import never_create
from evometrics.schemas.pace import set_pace
from evometrics.schemas.settings import SettingsError

#: What a person can put right: said in one line, without a traceback.
PLAIN_ERRORS = (SettingsError, OSError, RuntimeError, ValueError, KafkaError)

Command = Callable[[argparse.Namespace], Coroutine[None, None, int]]


def parser() -> argparse.ArgumentParser:
    """Return the parser of all subcommands; each sets `run`."""
    root = argparse.ArgumentParser(
        prog="evometrics",
        description="Records how AI agents evolve: Kafka, Faust, ClickHouse.",
        epilog="Every setting can also be given as EVOMETRICS_<SECTION>_<NAME> or in a TOML file (--config).",
    )
    root.set_defaults(prepare=nothing)
    subs = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        sub = subs.add_parser(name, help=text, description=text)
        add_common(sub)
        sub.set_defaults(run=run)
        return sub

    demo = command("demo", commands.demo, "Run the whole pipeline on agents that truly evolve, and show it.")
    demo.add_argument("--nodes", type=positive, default=2, help="orchestrator processes (default 2)")
    demo.add_argument("--agents", type=positive, default=20, help="agents, over all nodes (default 20)")
    demo.add_argument("--evolutions", type=positive, default=200, help="evolutions, over all (default 200)")
    demo.add_argument("--seed", type=int, default=0, help="of every random draw (default 0)")
    demo.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    add_external(demo)
    add_layout(demo)

    up = command("up", commands.up, "Run Kafka, ClickHouse, stream worker and sink here until Ctrl-C.")
    up.add_argument("--streams", type=positive, default=1, help="stream workers (default 1)")
    up.add_argument("--sinks", type=positive, default=1, help="sinks (default 1)")
    up.add_argument("--json", action="store_true", help="print the addresses as one JSON line")
    add_external(up)
    add_layout(up)

    orchestrate = command("orchestrate", commands.orchestrate, "Run one orchestrator node with demo agents.")
    orchestrate.add_argument("--node-id", required=True, help="this node's name, no other node's")
    orchestrate.add_argument("--agents", type=positive, default=10, help="agents (default 10)")
    orchestrate.add_argument("--evolutions", type=positive, default=100, help="evolutions (default 100)")
    orchestrate.add_argument("--seed", type=int, default=0, help="of every random draw (default 0)")
    orchestrate.add_argument("--json", action="store_true", help="print one JSON line for each evolution")
    orchestrate.add_argument("--http-port", type=int, help="serve /health here (default: not at all)")
    add_kafka(orchestrate)

    stream = command("stream", commands.stream, "Run a stream worker.")
    stream.set_defaults(prepare=set_pace)
    stream.add_argument("--instance", help="this worker's name in its group, the same after a restart")
    add_kafka(stream)
    add_layout(stream)
    add_http(stream)

    sink = command("sink", commands.sink, "Run a sink worker.")
    sink.set_defaults(prepare=set_pace)
    add_kafka(sink)
    add_clickhouse(sink)
    add_http(sink)

    migrate = command("migrate", commands.migrate, "Create or update database, tables and views.")
    add_migrate(migrate)
    add_clickhouse(migrate)

    text = "Show or change how long tables keep their rows."
    retention = subs.add_parser("retention", help=text, description=text)
    retention.set_defaults(run=commands.retention)
    add_retention(retention)

    topics = command("topics", commands.topics, "Create the topics that are missing, and list all.")
    text = "let each topic keep messages as long as a new one does (`republish` may have prolonged it)"
    topics.add_argument("--reset-retention", action="store_true", help=text)
    topics.add_argument("--json", action="store_true", help="print JSON")
    add_kafka(topics)
    add_layout(topics)

    text = "List, show, or send again the messages that could not be read or stored."
    letters = subs.add_parser("dead-letters", help=text, description=text)
    letters.set_defaults(run=commands.dead_letters)
    add_dead_letters(letters, add_servers)

    text = "Bring in history from SQLite, the KPI engine's state, CSV or Parquet; twice changes nothing."
    history = command("import", commands.import_history, text)
    add_import(history)
    add_kafka(history)
    add_clickhouse(history)

    text = "Send the events of the raw tables to Kafka again; streams and sink there make all tables of them."
    republish = subs.add_parser("republish", help=text, description=text)
    republish.set_defaults(run=commands.republish)
    add_republish(republish, add_servers)

    text = "Compute derived tables again from raw events, show what differs, and put it right (--apply)."
    replay = subs.add_parser("replay", help=text, description=text)
    replay.set_defaults(run=commands.replay, prepare=set_pace)
    add_replay(replay, add_servers)

    text = "Print rows and a checksum of each table: equal where two databases hold the same."
    checksums = command("checksums", commands.checksums, text)
    checksums.add_argument("--json", action="store_true", help="print JSON")
    add_clickhouse(checksums)

    sql = command("sql", commands.sql, "Run one SQL query in ClickHouse and print its rows.")
    sql.add_argument("query", help="the query; - reads it from standard input")
    sql.add_argument("--json", action="store_true", help="print one JSON object a row")
    add_clickhouse(sql)
    return root


def add_retention(sub: argparse.ArgumentParser) -> None:
    """Add the two actions to the subcommand."""
    actions = sub.add_subparsers(dest="action", required=True, metavar="show|set")
    showing = actions.add_parser("show", help="show what each table keeps, and what it holds")
    setting = actions.add_parser("set", help="keep a table's rows for so many days from now on")
    setting.add_argument("table", metavar="TABLE", help="a table's name for analysts")
    setting.add_argument(
        "days", type=positive, metavar="DAYS", help="after an event, or its arrival if later"
    )
    for action in (showing, setting):
        action.add_argument("--json", action="store_true", help="print JSON")
        add_server(action)


def add_servers(sub: argparse.ArgumentParser) -> None:
    """Add how to reach Kafka and ClickHouse."""
    add_server(sub)
    add_kafka(sub)


def add_server(sub: argparse.ArgumentParser) -> None:
    """Add how to reach ClickHouse."""
    add_common(sub)
    add_clickhouse(sub)


def add_external(sub: argparse.ArgumentParser) -> None:
    """Add how many brokers to start, and the flags that put running servers in the place of ours."""
    text = "Kafka brokers to start: 1, or a cluster of 3 (default 1)"
    sub.add_argument(
        "--brokers", type=broker_count, default=1, dest="broker_count", metavar="NUMBER", help=text
    )
    sub.add_argument("--broker", metavar="HOST:PORT", help="use this Kafka instead of starting one")
    sub.add_argument("--clickhouse", metavar="URL", help="use this ClickHouse instead of starting one")


def broker_count(text: str) -> int:
    """Parse how many brokers to start; elsewhere `--brokers` takes addresses, so that both come up here."""
    if text in ("1", "3"):
        return int(text)
    raise argparse.ArgumentTypeError(
        f"{text!r} is not 1 or 3, the number of brokers to start here. "
        "To use a running Kafka instead give --broker HOST:PORT"
    )


def nothing() -> None:
    """Most subcommands run in a process as Python sets it up."""


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; return its exit code: 0, 1 where it failed, 2 where it was asked wrongly.

    And 3 where a dry run of `replay` found rows to put right.
    """
    args = parser().parse_args(arguments)
    never_create(AIOKafkaClient)  # topics are made by `evometrics topics` alone; Faust's clients ask as well
    try:
        args.prepare()
        run: Command = args.run
        return tasks.run(run(args))
    except KeyboardInterrupt:
        return 130
    except SettingsError as error:
        print(f"evometrics {args.command}: {error}", file=sys.stderr)
        return 2
    except PLAIN_ERRORS as error:
        print(f"evometrics {args.command}: {error or type(error).__name__}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
