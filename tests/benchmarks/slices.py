"""The package's own code alone, without Kafka, SQLite and ClickHouse: what an event costs each part.

    python -P tests/benchmarks/slices.py stream

Run by the Python of the build that is measured, with the checkout that it was built from in PYTHONPATH: of an
earlier build the events, and what they are made with, are its own. For each line that it reads it works once,
and prints the microseconds of processor time an event took.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import time
from collections.abc import Callable
from typing import Any

from aiokafka.structs import ConsumerRecord

from evometrics.producers.collector.snapshots import phases_of_completion
from evometrics.producers.events import convert
from evometrics.producers.events.encoder import Encoder
from evometrics.producers.events.left_out import LeftOut
from evometrics.producers.outbox import row
from evometrics.schemas.topics import EVOLUTION_COMPLETED
from evometrics.schemas.wire.framing import WireFormat
from evometrics.sinks.clickhouse import blocks
from evometrics.sinks.worker.batch import Batch, Partition
from evometrics.sinks.worker.screen import screen
from evometrics.streams.offline import OfflineStream
from evometrics.streams.settings import StreamSettings
from tests.benchmarks.events import Events
from tests.benchmarks.node import completion
from tests.benchmarks.times import begin_of

#: Events of a turn, and those that a part has at a time.
COUNT, BATCH = 4_000, 1_000
AGENTS = 100


def producer(events: Events) -> Callable[[], object]:
    """From an application's object to the columns of the outbox's rows."""
    given = [completion(done, done.agent_id, done.evolution_id) for done in events.completed(0, COUNT)]
    encoder = Encoder("node-1")

    def work() -> None:
        for first in range(0, COUNT, BATCH):
            rows = []
            for event in given[first : first + BATCH]:
                left_out = LeftOut()
                done = convert.completed_event(event, "node-1", time.time(), None, None, left_out)
                done.snapshot_phases = phases_of_completion(done, None)
                value = encoder.encode(done, left_out)
                rows.append(row.Row(0, EVOLUTION_COMPLETED.name, done.key, value))
            row.give_numbers(rows, first + 1)
            if len(row.columns_of(rows, 0)) != 6 * BATCH:
                raise RuntimeError("not every event became a row")

    return work


def records(events: Events) -> list[list[Any]]:
    """Return what Kafka holds of the events, in batches."""
    topic, stamp = EVOLUTION_COMPLETED.name, round(time.time() * 1000)
    found = [
        ConsumerRecord(topic, 0, made.number, stamp, 0, made.key, made.value, None, 9, len(made.value), ())
        for made in events.made(0, COUNT)
    ]
    return [found[first : first + BATCH] for first in range(0, COUNT, BATCH)]


def stream(events: Events) -> Callable[[], object]:
    """From completions to their rows and counts, states included."""
    batches, wire = records(events), WireFormat()

    def work() -> None:
        offline = OfflineStream(StreamSettings(), wire)
        made = sum(len(offline.by_partition(batch)[0]) for batch in batches)
        if made < COUNT:
            raise RuntimeError(f"{COUNT} completions made {made} rows")

    return work


def sink(events: Events) -> Callable[[], object]:
    """From messages to the body of an insert in Avro, each looked at."""
    batches, wire = records(events), WireFormat()

    def work() -> None:
        for messages in batches:
            batch = Batch()
            batch.add({Partition(EVOLUTION_COMPLETED.name, 0): messages}, wire)
            for group in batch.groups.values():
                whole, rejected = screen(group.schema, group.rows)
                insert_of(group.schema, whole)
                if rejected or len(whole) != BATCH:
                    raise RuntimeError(f"{len(whole)} of {BATCH} messages were whole")

    return work


def insert_of(schema: Any, rows: Any) -> object:
    """Make the body of an insert in Avro, which is the same work in all builds."""
    if hasattr(blocks, "container_format"):  # builds before columns
        return blocks.container(blocks.container_format(schema), (each.block for each in rows))
    fmt = dataclasses.replace(blocks.row_format(schema), fields=None)
    return asyncio.run(blocks.body(fmt, EVOLUTION_COMPLETED.name, rows))


PARTS = {"producer": producer, "stream": stream, "sink": sink}


def main() -> None:
    """Work once for each line of standard input."""
    work = PARTS[sys.argv[1]](Events(seed=1, agents=AGENTS, begin=begin_of(COUNT)))
    work()
    print("ready", flush=True)
    for _ in sys.stdin:
        used = time.process_time()
        work()
        print((time.process_time() - used) / COUNT * 1e6, flush=True)


if __name__ == "__main__":
    main()
