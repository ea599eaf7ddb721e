"""The rights that each role needs on a Kafka whose authorizer allows nothing by default, and no more.

Found in the log of Kafka 4.4's authorizer. READ and WRITE include DESCRIBE; an idempotent producer needs no
more than WRITE on a topic; nothing here uses transactions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from evometrics.schemas.topics import (
    DEAD_LETTERS,
    DERIVED_TOPICS,
    KPI_SNAPSHOTS,
    RAW_TOPICS,
    SCOPE_COUNTS,
    TOPICS,
    Topic,
)
from evometrics.streams.sources.topics import EVOLUTION_TOPICS, SNAPSHOT_TOPICS, SOURCE_TOPICS

#: The group that `import` joins to be alone.
IMPORT_GROUP = "evometrics-import"
#: Kafka's name for the only resource of kind `cluster`.
CLUSTER = "kafka-cluster"
#: What the names of all topics begin with, except those of a stream's changelogs.
PREFIX = "evometrics."

#: What it takes to create topics and to correct their settings.
TOPICS_RIGHTS = ("CREATE", "DESCRIBE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS")


@dataclass(frozen=True, slots=True)
class Right:
    """Operations on resources of one kind.

    Attributes:
        kind: `topic`, `group` or `cluster`.
        names: names of the resources.
        operations: Kafka's names, such as `DESCRIBE_CONFIGS`.
        prefixed: whether the rights are on all resources whose names begin with one of `names`.
    """

    kind: Literal["topic", "group", "cluster"]
    names: tuple[str, ...]
    operations: tuple[str, ...]
    prefixed: bool = False


@dataclass(frozen=True, slots=True)
class Role:
    """Whoever connects to Kafka for one purpose.

    Attributes:
        runs: what it runs, in words.
        rights: what it needs.
    """

    runs: str
    rights: tuple[Right, ...]


def roles(stream: str, sink: str) -> dict[str, Role]:
    """Return each role, by name; `stream` and `sink` are the consumer groups of these workers."""
    raw, every = named(RAW_TOPICS), named(TOPICS)
    made, letters, counts = named(DERIVED_TOPICS), DEAD_LETTERS.name, SCOPE_COUNTS
    changelogs = f"{stream}-"
    return {
        "node": Role(
            "a collector, `evometrics orchestrate`",
            (
                on_topics(raw, "WRITE"),
                # without it a node knows the broker's time from acknowledgements only
                Right("cluster", (CLUSTER,), ("DESCRIBE",)),
            ),
        ),
        "stream": Role(
            "`evometrics stream`",
            (
                # it sends to their own partition what other producers have put elsewhere
                on_topics(SOURCE_TOPICS, "READ", "WRITE"),
                on_topics((*made, letters), "WRITE"),
                on_topics((changelogs,), "READ", "WRITE", "CREATE", "DESCRIBE_CONFIGS", prefixed=True),
                on_group(stream, "READ"),
            ),
        ),
        "sink": Role(
            "`evometrics sink`",
            (on_topics(every, "READ"), on_topics((letters,), "WRITE"), on_group(sink, "READ")),
        ),
        "topics": Role(
            "`evometrics topics`",
            (on_topics((PREFIX,), *TOPICS_RIGHTS, prefixed=True),),
        ),
        "topics-anew": Role(
            "`evometrics topics --anew`",
            (
                on_topics((PREFIX,), *TOPICS_RIGHTS, "DELETE", prefixed=True),
                on_topics((changelogs,), "DELETE", "DESCRIBE", prefixed=True),
                on_group(sink, "DESCRIBE"),
            ),
        ),
        "demo": Role(
            "`evometrics demo` on a running pipeline, with its nodes",
            (
                on_topics(raw, "WRITE"),
                Right("cluster", (CLUSTER,), ("DESCRIBE",)),
                on_topics((KPI_SNAPSHOTS.name, *made), "READ"),
                on_topics((letters, counts), "DESCRIBE"),
                on_group(stream, "DESCRIBE"),
                on_group(sink, "DESCRIBE"),
            ),
        ),
        "import": Role(
            "`evometrics import`",
            (
                on_topics(raw, "WRITE"),
                on_group(IMPORT_GROUP, "READ"),
                on_group(sink, "DESCRIBE"),
            ),
        ),
        "replay": Role(
            "`evometrics replay --source kafka`", (on_topics((*EVOLUTION_TOPICS, *SNAPSHOT_TOPICS), "READ"),)
        ),
        "republish": Role(
            "`evometrics republish`",
            (
                on_topics(raw, "READ", "WRITE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS"),
                on_group(stream, "DESCRIBE"),
            ),
        ),
        "dead-letters": Role(
            "`evometrics dead-letters retry`; a message goes to the topic that it came from",
            (on_topics(every, "WRITE"),),
        ),
    }


def on_topics(names: tuple[str, ...], *operations: str, prefixed: bool = False) -> Right:
    return Right("topic", names, operations, prefixed)


def on_group(name: str, *operations: str) -> Right:
    return Right("group", (name,), operations)


def named(topics: Iterable[Topic]) -> tuple[str, ...]:
    return tuple(topic.name for topic in topics)
