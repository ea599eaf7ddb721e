"""A sink's loop as sinks in Python have it: read a batch, decode it (fastavro), insert, commit the offsets.

`native` hands columns to clickhouse-connect, which encodes them in ClickHouse's Native format; `jsoneachrow`
posts lines of JSON, as the ClickHouse sinks of Quix Streams and Arroyo's users do.
"""

from __future__ import annotations

import argparse
import io
import json
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

import clickhouse_connect
import fastavro
from confluent_kafka import Consumer, Message

from evometrics.schemas.events import EvolutionCompleted, field_names
from evometrics.schemas.topics import EVOLUTION_COMPLETED
from evometrics.schemas.wire.catalog import newest
from evometrics.schemas.wire.framing import SINGLE_OBJECT_LENGTH

TABLE = f"{EVOLUTION_COMPLETED.table}_rows"
FIELDS = field_names(EvolutionCompleted)
PLACE = ("_partition", "_offset", "_timestamp")
#: Times in JSON: ClickHouse reads seconds with a fraction.
TIMES = ("occurred_at", "started_at")
INSERT_SECONDS = 300

Insert = Callable[[list[Message]], None]


def decode(value: bytes) -> dict[str, Any]:
    """Return the fields of a completion."""
    schema = newest(EVOLUTION_COMPLETED.record).parsed
    record: Any = fastavro.schemaless_reader(io.BytesIO(value[SINGLE_OBJECT_LENGTH:]), schema, None)
    fields: dict[str, Any] = record
    return fields


def native(url: str) -> Insert:
    """Return an insert through clickhouse-connect, column by column."""
    parts = urllib.parse.urlsplit(url)
    client = clickhouse_connect.get_client(
        host=parts.hostname, port=parts.port, database="evometrics", compress=False
    )
    types = client.create_insert_context(TABLE, [*FIELDS, *PLACE]).column_types

    def insert(messages: list[Message]) -> None:
        columns: list[list[Any]] = [[] for _ in FIELDS]
        for message in messages:
            fields = decode(message.value())
            for column, name in zip(columns, FIELDS, strict=True):
                column.append(fields[name])
        columns.append([message.partition() for message in messages])
        columns.append([message.offset() for message in messages])
        columns.append([message.timestamp()[1] for message in messages])
        client.insert(
            TABLE, columns, column_names=[*FIELDS, *PLACE], column_types=types, column_oriented=True
        )

    return insert


def jsoneachrow(url: str) -> Insert:
    """Return an insert of JSON lines over HTTP."""
    query = f"INSERT INTO {TABLE} ({', '.join([*FIELDS, *PLACE])}) FORMAT JSONEachRow"
    target = f"{url}/?{urllib.parse.urlencode({'query': query, 'database': 'evometrics'})}"

    def insert(messages: list[Message]) -> None:
        lines = []
        for message in messages:
            row = decode(message.value())
            for name in TIMES:
                row[name] = f"{row[name] // 1_000_000}.{row[name] % 1_000_000:06d}"
            milliseconds = message.timestamp()[1]
            row["_partition"], row["_offset"] = message.partition(), message.offset()
            row["_timestamp"] = f"{milliseconds // 1000}.{milliseconds % 1000:03d}"
            lines.append(json.dumps(row))
        request = urllib.request.Request(target, method="POST", data="\n".join(lines).encode())
        with urllib.request.urlopen(request, timeout=INSERT_SECONDS) as answer:
            answer.read()

    return insert


def main() -> None:
    """Sink batches until ended."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("kind", choices=["native", "jsoneachrow"])
    parse.add_argument("--brokers", required=True)
    parse.add_argument("--group", required=True)
    parse.add_argument("--clickhouse-url", required=True)
    parse.add_argument("--rows", type=int, required=True)
    args = parse.parse_args()
    insert = {"native": native, "jsoneachrow": jsoneachrow}[args.kind](args.clickhouse_url)
    settings = {"bootstrap.servers": args.brokers, "group.id": args.group}
    consumer = Consumer({**settings, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([EVOLUTION_COMPLETED.name])
    while True:
        messages = [m for m in consumer.consume(args.rows, timeout=1.0) if m.error() is None]
        if messages:
            insert(messages)
            consumer.commit(asynchronous=False)


if __name__ == "__main__":
    main()
