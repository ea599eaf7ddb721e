"""One module per command: its flags (`add`) and its work (`run`), loaded when the command is called.

Imports every other room of this folder except the command line, and what of the other folders a command runs.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COMMANDS", "completing"]


@dataclass(frozen=True, slots=True)
class Command:
    """A command's entry on the command line, known before its module is loaded.

    Attributes:
        module: its module in this package.
        text: what it does, in one sentence.
        extra: the extra of the package that it needs, empty for none.
    """

    module: str
    text: str
    extra: str = ""


COMMANDS = {
    "demo": Command(
        "demo", "Run the whole pipeline on agents that really evolve, and show the result.", extra="local"
    ),
    "up": Command(
        "up", "Run Kafka, ClickHouse, stream worker, sink and web pages here until Ctrl-C.", extra="local"
    ),
    "backup": Command(
        "backup", "Back up the local stack's folder, also while the stack is running.", extra="local"
    ),
    "orchestrate": Command("orchestrate", "Run one orchestrator node with demo agents.", extra="local"),
    "record": Command("record", "Run any program as one evolution, and record how it ended."),
    "stream": Command("stream", "Run a stream worker.", extra="streams"),
    "sink": Command("sink", "Run a sink worker.", extra="sinks"),
    "migrate": Command("migrate", "Create or update database, tables and views.", extra="sinks"),
    "retention": Command("retention", "Show or change how long tables keep their rows.", extra="sinks"),
    "topics": Command("topics", "Create missing topics, and list all topics."),
    "dead-letters": Command(
        "dead_letters",
        "List, show, or send again the messages that could not be read or stored.",
        extra="sinks",
    ),
    "import": Command(
        "import_history",
        "Import history from SQLite, the KPI engine's state, CSV or Parquet; repeating it changes nothing.",
        extra="import",
    ),
    "republish": Command(
        "republish",
        "Send the events of the raw tables to Kafka again, for stream workers and sinks to process.",
        extra="sinks",
    ),
    "replay": Command(
        "replay",
        "Recompute derived tables from raw events, show what differs, and correct it (--apply).",
        extra="sinks",
    ),
    "checksums": Command(
        "checksums",
        "Print each table's row count and checksum; databases with the same rows have equal ones.",
        extra="sinks",
    ),
    "schemas": Command("schemas", "List the events' Avro schemas, or print one (.avsc)."),
    "sql": Command("sql", "Run one SQL query in ClickHouse and print its rows.", extra="sinks"),
    "ui": Command(
        "ui", "Serve web pages that show runs, agents and strategies, over ClickHouse.", extra="ui"
    ),
    "report": Command(
        "report", "Write a report of a night or a run: HTML or a picture to mail, or plots here.", extra="ui"
    ),
    "health": Command("health", "Ask a part on this machine whether it is live, or ready."),
    "alerts": Command(
        "alerts", "Print Prometheus' alert rules, or examples of its and Alertmanager's configuration."
    ),
    "dashboards": Command(
        "dashboards", "Write Grafana's dashboards, and the files that provision them and their data sources."
    ),
    "config": Command("config", "Show the settings in force, and where each comes from."),
    "completion": Command("completion", "Print the script that makes a shell complete commands and flags."),
}
