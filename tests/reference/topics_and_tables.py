"""topics-and-tables.md: from `schemas/topics.py`, the settings of topics, and the migrations."""

from __future__ import annotations

import re

from evometrics.schemas.kafka.topics import with_common
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import (
    DAY_MS,
    SCOPE_COUNTS,
    SCOPE_COUNTS_RETENTION_MS,
    TOPICS,
)
from evometrics.schemas.wire.catalog import newest
from evometrics.sinks.settings import SinkSettings
from evometrics.streams.changelog.topics import COMPACTION_LAG_MS
from evometrics.streams.processors.computations import TABLES
from evometrics.streams.settings import StreamSettings
from evometrics.streams.sources.topics import SOURCE_TOPICS
from tests.reference.markdown import cell, code, document, listed, table, wrapped
from tests.reference.sql_tables import Table, tables

#: Columns of every storage table that are not an event's.
OF_KAFKA = ("_topic", "_partition", "_offset", "_timestamp", "_inserted_at")
ROWS = "_rows"
TTL = re.compile(r"INTERVAL (\d+) DAY")


def changelogs() -> list[str]:
    """Return the names of the stream's changelog topics, in the group that is the default."""
    return [f"{StreamSettings().group}-{name}-changelog" for name in TABLES]


def days(ms: int) -> str:
    """Return a time in days."""
    return f"{ms // DAY_MS} days"


def topics() -> list[str]:
    """Return the part on topics."""
    kafka = KafkaSettings()
    ((_, common),) = with_common(kafka, {"": {}}).items()
    return [
        "## Topics",
        wrapped(
            f"`evometrics topics`, `up` and `demo` create them, with {kafka.partitions} partitions and "
            f"{kafka.replication} copy of each unless `kafka.partitions` and `kafka.replication` say "
            "otherwise ([settings](settings.md#kafka)); with `--local-brokers 3` there are three copies. "
            "*Kept* is how long Kafka keeps a message. An agent's events have its id as their key, so they "
            "are in one partition and in order."
        ),
        table(
            ["topic", "kind", "record", "table", "kept"],
            (
                [
                    code(topic.name),
                    topic.kind.replace("_", " "),
                    record_link(topic.record),
                    f"[`{topic.table}`](#{topic.table})",
                    days(topic.retention_ms),
                ]
                for topic in TOPICS
            ),
        ),
        wrapped(
            "*Raw* events are recorded by nodes, *derived* ones computed by stream workers, and a *dead "
            "letter* is a message that a stream worker or sink could not read or store."
        ),
        "Settings that all of these topics have:",
        table(["setting", "value"], ([code(name), code(text)] for name, text in common.items())),
        wrapped(
            "`min.insync.replicas` is one less than the copies, and at least 1. On a topic that exists "
            "`evometrics topics` sets the two timestamp settings; retention and message size it sets only "
            "where the topic has none of its own. A topic that was ever written to keeps its partitions."
        ),
        "### Internal topics",
        wrapped("Written and read by stream workers only; they have no table."),
        table(
            ["topic", "what it holds", "kept"],
            [
                [
                    code(SCOPE_COUNTS),
                    "Counts of evolutions by scope and window, from each source partition.",
                    days(SCOPE_COUNTS_RETENTION_MS),
                ],
                *(
                    [code(name), f"The stream's state table `{each}`.", "compacted"]
                    for name, each in zip(changelogs(), TABLES, strict=True)
                ),
            ],
        ),
        wrapped(
            "A changelog's name begins with the stream's consumer group (`stream.group`). It has "
            f"`min.compaction.lag.ms={COMPACTION_LAG_MS}`. `evometrics topics` creates the first of these "
            "topics, a stream worker its own changelogs."
        ),
        "### Consumer groups",
        table(
            ["group", "reads", "setting"],
            [
                [code(StreamSettings().group), listed(SOURCE_TOPICS), "`stream.group`"],
                [code(SinkSettings().group), "all topics that have a table", "`sink.group`"],
            ],
        ),
    ]


def record_link(record: str) -> str:
    """Return a link to a record's fields."""
    name = newest(record).source["name"]
    return f"[{name}](events.md#{name.lower()})"


def storage_of(name: str, storage: Table) -> list[str]:
    """Return how a table is stored."""
    shown = tables()[name].columns
    other = {
        column: each.type
        for column, each in storage.columns.items()
        if column not in OF_KAFKA and (column not in shown or shown[column].type != each.type)
    }
    ttl = TTL.search(storage.clause("TTL"))
    assert ttl, name
    text = (
        f"Stored in `{name}{ROWS}` by `{storage.clause('ORDER BY')}`, in parts by "
        f"`{storage.clause('PARTITION BY')}`; rows are kept for {ttl[1]} days after the event or its arrival "
        "in Kafka, whichever is later."
    )
    if other:
        types = ", ".join(f"`{column}` `{kind}`" for column, kind in other.items())
        text += f" Columns with another type in storage: {types}."
    return [wrapped(text)]


def columns(found: Table, names: tuple[str, ...] = ()) -> str:
    """Return a table of columns, all or those named."""
    return table(
        ["column", "type", "meaning"],
        (
            [code(name), code(each.type), cell(each.comment)]
            for name, each in found.columns.items()
            if not names or name in names
        ),
    )


def page() -> str:
    """Return the page."""
    found = tables()
    of_topics = [topic.table for topic in TOPICS]
    storages = {f"{name}{ROWS}" for name in of_topics}
    own = [name for name in found if name.startswith("schema_migrations")]
    views = [name for name in found if name not in {*of_topics, *storages, *own}]
    blocks = [
        *topics(),
        "## Tables",
        wrapped(
            "`evometrics migrate` creates them in the database `evometrics` (`clickhouse.database`). "
            "Read a table under its own name: that is a view that shows each event once. Behind it is a "
            f"storage table `<name>{ROWS}` (`ReplacingMergeTree`), in which an event may stand more than "
            "once until ClickHouse merges its parts."
        ),
        wrapped(
            "Conditions on the sorting key (the agent, `occurred_at`) and on `event_id` keep a view from "
            "reading the rest; [Performance](../explanation/performance.md#views-beside-their-tables) says "
            "what a view costs beside its table."
        ),
        table(
            ["table", "topic", "what a row is"],
            [
                *([f"[`{t.table}`](#{t.table})", code(t.name), cell(found[t.table].comment)] for t in TOPICS),
                *(
                    [f"[`{name}`](#{name})", "computed when read", cell(found[name].comment)]
                    for name in views
                ),
            ],
        ),
        wrapped(
            "On a ClickHouse cluster a storage table is distributed; each server's part of it is "
            f"`<name>{ROWS}_local`. A field that only a newer version of a schema in the registry has gets a "
            "column of its own when the first message with it arrives."
        ),
        "### Columns of every storage table",
        wrapped(f"Each `<name>{ROWS}` has its event's columns, listed under the table's name, and these:"),
        columns(found[f"{of_topics[0]}{ROWS}"], OF_KAFKA),
        wrapped("The default of `_topic` is the table's topic."),
    ]
    for name in of_topics:
        blocks += [
            f"### {name}",
            wrapped(found[name].comment),
            *storage_of(name, found[f"{name}{ROWS}"]),
            columns(found[name]),
        ]
    for name in views:
        sources = re.findall(r"(?:FROM|JOIN) \{database\}\.(\w+)", found[name].storage)
        assert sources, name
        asked = re.findall(r"\{(\w+):([^}]+)\}", found[name].storage)
        takes = listed(f"{parameter} {kind}" for parameter, kind in dict(asked).items())
        given = f" Its parameter is {takes}." if asked else ""
        blocks += [
            f"### {name}",
            wrapped(found[name].comment),
            f"A view on {listed(dict.fromkeys(sources))}.{given}",
            columns(found[name]),
        ]
    blocks += ["## Tables of the migrations", "What `evometrics migrate` remembers; nothing else reads them."]
    for name in own:
        blocks += [f"### {name}", wrapped(found[name].comment), columns(found[name])]
    return document("Topics and tables", *blocks)
