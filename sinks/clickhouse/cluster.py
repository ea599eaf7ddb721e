"""Translates a statement for one ClickHouse server into statements that do the same on a cluster.

A storage table `<table>_rows` becomes two. Each shard keeps its part of the rows in `<table>_rows_local`, a
replicated table; `<table>_rows` is a Distributed table over all of them, through which the views read and the
sink inserts, so that neither has to know of the cluster. Whatever concerns storage (constraints, settings,
codecs, TTL) goes only to the local tables; changes of a column's name or type go to both.

ReplacingMergeTree replaces rows, and FINAL picks among them, within a shard. So all copies of an event must
be on one: the sharding key is the agent if the table is sorted by it first, as every copy names the same one,
else the event's id.
"""

from __future__ import annotations

import re

from evometrics.schemas.errors import EvometricsError

#: Text that is not parsed: quoted text and comments.
OPAQUE = re.compile(r"'(?:[^'\\]|\\.|'')*'|`[^`]*`|--[^\n]*", re.DOTALL)
BLANK = "\0"
START = r"[\s\0]*"

CREATE_TABLE = re.compile(START + r"CREATE TABLE IF NOT EXISTS (?P<database>\w+)\.(?P<table>\w+_rows)(?!\w)")
CREATE_VIEW = re.compile(START + r"CREATE (?:OR REPLACE VIEW|VIEW IF NOT EXISTS) \w+\.\w+")
ALTER_VIEW = re.compile(START + r"ALTER TABLE \w+\.\w+(?=\s+MODIFY SQL SECURITY\b)")
ALTER_TABLE = re.compile(START + r"ALTER TABLE (?P<database>\w+)\.(?P<table>\w+_rows)(?!\w)")
CONTROL_TABLE = re.compile(START + r"CREATE TABLE IF NOT EXISTS \w+\.schema_migrations\w*")
CREATE_DATABASE = re.compile(START + r"CREATE DATABASE IF NOT EXISTS \w+")

ENGINE = re.compile(
    r"^ENGINE = (?P<engine>(?:Replacing)?MergeTree)(?:\((?P<arguments>[\w, ]*)\))?", re.MULTILINE
)
SORTED_BY_AGENT = re.compile(r"^ORDER BY \(agent_id\b", re.MULTILINE)
TABLE_COMMENT = re.compile(r"^COMMENT (?P<text>\0+)", re.MULTILINE)
WINDOW = re.compile(r"\bnon_(?=replicated_deduplication_window\b)")

#: Commands of ALTER TABLE that concern only storage; the last kind is a further setting of MODIFY SETTING.
LOCAL_COMMAND = re.compile(
    START
    + r"(?:(?:ADD|DROP) (?:CONSTRAINT|INDEX)\b|MATERIALIZE INDEX\b|MODIFY (?:SETTING|TTL|COMMENT)\b"
    + r"|MODIFY COLUMN \w+ CODEC\(|\w+ = )"
)
#: Commands that change what can be read and inserted.
COLUMN_COMMAND = re.compile(START + r"(?:ADD|MODIFY|COMMENT) COLUMN\b")

SHARD_PATH = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
#: Replication path of a table of which every server of the cluster, whatever its shard, keeps a copy.
SHARED_PATH = "'/clickhouse/tables/{database}/{table}', '{shard}-{replica}'"


class UnknownStatement(EvometricsError, ValueError):
    """A statement of a kind that this module does not know; the message shows it."""


def for_cluster(statement: str, cluster: str) -> list[str]:
    """Return the statements to run on a cluster instead of a statement for one server.

    `{database}`, `{table}`, `{shard}` and `{replica}` in the result are macros, which each server fills in:
    substitute the project's own `{database}` beforehand.

    Raises `UnknownStatement`.
    """
    shape = outline(statement)
    if kind := CREATE_VIEW.match(shape) or ALTER_VIEW.match(shape) or CREATE_DATABASE.match(shape):
        return [inserted(statement, kind.end(), on(cluster))]
    if kind := CONTROL_TABLE.match(shape):
        return [inserted(replicated(statement, SHARED_PATH), kind.end(), on(cluster))]
    if kind := CREATE_TABLE.match(shape):
        local = inserted(replicated(statement, SHARD_PATH), kind.end(), "_local" + on(cluster))
        return [local, distributed(statement, shape, kind, cluster)]
    if kind := ALTER_TABLE.match(shape):
        return altered(statement, shape, kind, cluster)
    raise UnknownStatement(f"no rule for `{first_line(statement)}` on a cluster: add one here")


def outline(statement: str) -> str:
    """Return a statement with quoted text and comments blanked out; all else keeps its position."""
    return OPAQUE.sub(lambda match: BLANK * len(match[0]), statement)


def on(cluster: str) -> str:
    """Return the clause that runs the statement on each server of the cluster."""
    return f" ON CLUSTER '{cluster}'"


def inserted(text: str, position: int, more: str) -> str:
    """Return a text with more text inserted at a position."""
    return text[:position] + more + text[position:]


def replicated(statement: str, path: str) -> str:
    """Return a CREATE TABLE with the replicated engine, and the setting that goes with it."""
    shape = outline(statement)
    engine = ENGINE.search(shape)
    if engine is None:
        raise UnknownStatement(f"`{first_line(statement)}` has an engine that no rule replicates")
    arguments = ", ".join([path, *filter(None, [engine["arguments"]])])
    rest = statement[engine.end() :]
    settings = WINDOW.search(shape, engine.end())
    if settings:
        rest = statement[engine.end() : settings.start()] + statement[settings.end() :]
    return f"{statement[: engine.start()]}ENGINE = Replicated{engine['engine']}({arguments}){rest}"


def distributed(statement: str, shape: str, kind: re.Match[str], cluster: str) -> str:
    """Return the CREATE TABLE of the Distributed table over all shards of a storage table."""
    database, table = kind["database"], kind["table"]
    key = "agent_id" if SORTED_BY_AGENT.search(shape) else "event_id"
    comment = TABLE_COMMENT.search(shape)
    remark = "" if comment is None else f"\nCOMMENT {statement[comment.start('text') : comment.end('text')]}"
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{table}{on(cluster)} AS {database}.{table}_local\n"
        f"ENGINE = Distributed('{cluster}', '{database}', '{table}_local', cityHash64({key})){remark}"
    )


def altered(statement: str, shape: str, kind: re.Match[str], cluster: str) -> list[str]:
    """Return the ALTER TABLE of the local tables and, if columns change, that of the Distributed one."""
    columns = []
    for start, end in commands(shape, kind.end()):
        if LOCAL_COMMAND.match(shape, start, end):
            continue
        if not COLUMN_COMMAND.match(shape, start, end):
            text = first_line(statement[start:end])
            raise UnknownStatement(
                f"no rule for which tables of a cluster `{text}` in `{first_line(statement)}` applies to: "
                "add one here"
            )
        columns.append(statement[start:end].strip())
    window = WINDOW.search(shape, kind.end())
    local = statement if window is None else statement[: window.start()] + statement[window.end() :]
    found = [inserted(local, kind.end(), "_local" + on(cluster))]
    if columns:
        table = f"{kind['database']}.{kind['table']}"
        found.append(f"ALTER TABLE {table}{on(cluster)}\n    " + ",\n    ".join(columns))
    return found


def commands(shape: str, start: int) -> list[tuple[int, int]]:
    """Return where each command of an ALTER TABLE begins and ends: at commas outside of any brackets."""
    depth, found = 0, []
    for position in range(start, len(shape)):
        depth += (shape[position] in "([{") - (shape[position] in ")]}")
        if shape[position] == "," and depth == 0:
            found.append((start, position))
            start = position + 1
    return [*found, (start, len(shape))]


def first_line(statement: str) -> str:
    """Return the first line of a statement that is not a comment."""
    lines = (line.strip() for line in statement.splitlines())
    return next((line for line in lines if line and not line.startswith("--")), "")
