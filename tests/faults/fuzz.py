"""Fuzzed messages among good ones: each good one is stored once, each bad one is a dead letter.

    python -m tests.faults.fuzz --messages 100000 --seed 1 --json

Good events go through real topics as collectors send them; the fuzzed ones are made from the seed. How a
message was made says whether it is good, or, where a random change decides, `schemas.wire.reading`, the
function that the parts must agree with. Nothing may restart, and every derived row must be the model's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from evometrics.schemas.events import Event, now_micros
from evometrics.schemas.topics import BY_NAME, BY_RECORD, DERIVED_TOPICS, RAW_TOPICS
from evometrics.schemas.wire.framing import UnreadableMessage
from evometrics.schemas.wire.reading import read_event
from evometrics.streams.sources.topics import EVOLUTION_TOPICS, SNAPSHOT_TOPICS
from tests.faults.fuzz_messages import WIRE, Fuzzed, around, fuzzed
from tests.support.generator import Load, generate
from tests.support.model import SECOND, Row, differences, expected, made_snapshots
from tests.support.stack import Running, running_stack
from tests.support.tables import client, rows

PARTITIONS = 4
#: Share of fuzzed messages among all.
FUZZED = 0.5
DRAIN_SECONDS = 600
#: Half of all is fuzzed: a stack that minds how many dead letters there are would stop.
NO_LIMIT = {
    f"EVOMETRICS_{part}_{name}": value
    for part in ("STREAM", "SINK")
    for name, value in (("MAX_LETTER_RATIO", "1"), ("MAX_CONSECUTIVE_LETTERS", "0"))
}
STREAM_TOPICS = frozenset({*EVOLUTION_TOPICS, *SNAPSHOT_TOPICS})
SHOWN = 10

Place = tuple[str, int, int]


@dataclass(slots=True)
class Sent:
    """A message as Kafka took it, as a reader gets it; `kind` says how it was made."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    kind: str
    good: bool | None

    @property
    def place(self) -> Place:
        return self.topic, self.partition, self.offset


@dataclass
class Result:
    """What came of a run; the lists hold what is wrong, and are empty when all is well."""

    messages: int
    seed: int
    good: int = 0
    bad: int = 0
    kinds: dict[str, dict[str, int]] = field(default_factory=dict)
    derived: dict[str, int] = field(default_factory=dict)
    letters: dict[str, int] = field(default_factory=dict)
    seconds_sent: float = 0.0
    seconds_drained: float = 0.0
    misjudged: list[str] = field(default_factory=list)
    not_stored: list[str] = field(default_factory=list)
    stored_though_bad: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    without_letter: list[str] = field(default_factory=list)
    letters_of_good: list[str] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> dict[str, list[str]]:
        """What is wrong, by what it is."""
        return {name: value for name, value in asdict(self).items() if isinstance(value, list) and value}


def messages(count: int, seed: int, now: int) -> Iterator[Fuzzed]:
    """Return good events, in order, with fuzzed messages among them."""
    rng = random.Random(f"mix {seed}")
    good = good_events(count, seed, now)
    strange = fuzzed(seed, around(now))
    for _ in range(count):
        if rng.random() < FUZZED:
            yield next(message for message in strange if in_time(message, now))
        else:
            event = next(good)
            topic = BY_RECORD[event.record].name
            yield Fuzzed(topic, event.key.encode(), WIRE.encode(event), "good", True, event)


def good_events(count: int, seed: int, now: int) -> Iterator[Event]:
    """Return at least `count` events as orchestrators send them, with duplicates and disorder."""
    load = Load(
        seed=seed,
        begin=now - 7 * 3600 * SECOND,
        agents=200,
        evolutions=count // 3 + 10,
        nodes=4,
        hours=6,
        late=0,
    )
    for _, event in generate(load):
        yield event


def in_time(message: Fuzzed, now: int) -> bool:
    """Tell whether a mutation left an evolution's time: the model counts those that come too late."""
    if message.good is not None or message.topic not in EVOLUTION_TOPICS:
        return True
    try:
        event = read_event(WIRE, Sent(message.topic, 0, 0, now // 1000, message.key, message.value, "", None))
    except UnreadableMessage:
        return True
    return abs(now - event.occurred_at) < 10 * 3600 * SECOND


async def send(brokers: str, made: Iterable[Fuzzed]) -> list[Sent]:
    """Produce messages in order and return them as Kafka has them."""
    producer = AIOKafkaProducer(
        bootstrap_servers=brokers, enable_idempotence=True, linger_ms=5, max_request_size=2_000_000
    )
    await producer.start()
    sent: list[Sent] = []
    waiting: list[tuple[Fuzzed, Any]] = []

    async def settle() -> None:
        for message, taken in waiting:
            at = await taken
            place = (at.topic, at.partition, at.offset, at.timestamp)
            sent.append(Sent(*place, message.key, message.value, message.kind, message.good))
        waiting.clear()

    try:
        for message in made:
            taken = await producer.send(
                message.topic, message.value, key=message.key, headers=list(message.headers)
            )
            waiting.append((message, taken))
            if len(waiting) >= 2000:
                await settle()
        await settle()
    finally:
        await producer.stop()
    return sent


def judge(sent: Sequence[Sent], result: Result) -> dict[Place, Event]:
    """Return the good messages' events by place; note where a message is not what it was made to be."""
    good: dict[Place, Event] = {}
    kinds: dict[str, Counter[str]] = {}
    for message in sent:
        said = "good"
        try:
            good[message.place] = read_event(WIRE, message)
        except UnreadableMessage as error:
            said = "bad"
            if message.good:
                result.misjudged.append(f"{message.kind} {message.place}: {error}")
        if said == "good" and message.good is False:
            result.misjudged.append(f"{message.kind} {message.place} is read as {good[message.place]!r:.300}")
        kinds.setdefault(message.kind, Counter())[said] += 1
    result.kinds = {kind: dict(counted) for kind, counted in sorted(kinds.items())}
    result.good, result.bad = len(good), len(sent) - len(good)
    return good


def measured(event: Event) -> dict[str, Any]:
    """Return an event's fields; those that it says were not measured are 0 (NULL in the views)."""
    fields = event.to_record()
    numbers = {name for name in fields.get("unmeasured", ()) if isinstance(fields.get(name), int | float)}
    return fields | dict.fromkeys(numbers, 0)


def check_stored(stack: Running, sent: Sequence[Sent], good: dict[Place, Event], result: Result) -> None:
    """Compare the raw tables with the good events, and the places of their rows with the bad messages'."""
    bad = {message.place for message in sent} - good.keys()
    events = [*good.values(), *made_snapshots(good.values())]
    for topic in RAW_TOPICS:
        wanted = {e.event_id.lower(): measured(e) for e in events if e.record == topic.record}
        found = rows(stack.clickhouse_url, topic.record, strict=False)
        said = differences(plain(wanted), plain({i: found[i] for i in wanted.keys() & found.keys()}))
        result.differing += [line for line in said if not line.startswith("missing")]
        result.not_stored += [f"{topic.record} {event_id}" for event_id in wanted.keys() - found.keys()]
        with client(stack.clickhouse_url) as sql:
            twice = f"SELECT event_id, groupArray((_partition, _offset)) FROM {topic.table}_rows FINAL "
            twice += "GROUP BY event_id HAVING count() > 1"
            result.twice += [f"{topic.record} {row}" for row in sql.query(twice).result_rows]
            stored = {
                (topic.name, partition, offset)
                for partition, offset in sql.query(
                    f"SELECT _partition, _offset FROM {topic.table}_rows"
                ).result_rows
            }
        result.stored_though_bad += sorted(map(str, stored & bad))


def check_letters(stack: Running, sent: Sequence[Sent], good: dict[Place, Event], result: Result) -> None:
    """Every bad message has a letter of each part that reads its topic, with a reason; others none."""
    by_stage: dict[str, set[Place]] = {"sink": set(), "stream": set()}
    for letter in rows(stack.clickhouse_url, "dead_letter").values():
        place = (letter["source_topic"], letter["source_partition"], letter["source_offset"])
        by_stage[letter["stage"]].add(place)
        if not letter["reason"]:
            result.without_letter.append(f"{place}: no reason")
        if place in good or place[0] not in BY_NAME:
            result.letters_of_good.append(f"{letter['stage']} {place}: {letter['reason']}")
    for stage, places in by_stage.items():
        wanted = {
            m.place: m.kind
            for m in sent
            if m.place not in good and (stage == "sink" or m.topic in STREAM_TOPICS)
        }
        result.letters[stage] = len(places)
        result.without_letter += [f"{stage} {wanted[p]} {p}" for p in wanted.keys() - places]


def check_derived(stack: Running, good: dict[Place, Event], result: Result) -> None:
    """Compare every derived row with the model's over the good events."""

    def partition_of(agent: str) -> int:
        return (murmur2(agent.encode()) & 0x7FFFFFFF) % PARTITIONS

    model = expected(good.values(), partition_of)
    for topic in DERIVED_TOPICS:
        wanted = plain(getattr(model, topic.table))
        result.derived[topic.table] = len(wanted)
        result.differing += differences(wanted, plain(rows(stack.clickhouse_url, topic.record)))


def plain(found: dict[str, Row]) -> dict[str, Row]:
    """Return rows as both sides have them: ids as ClickHouse writes them, and NaNs that equal each other."""
    return {
        i: {
            name: value.lower() if name.endswith("event_id") and value else without_nan(value)
            for name, value in row.items()
        }
        for i, row in found.items()
    }


def without_nan(value: Any) -> Any:
    """Return a value with `"NaN"` in the place of NaNs."""
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, dict):
        return {name: without_nan(item) for name, item in value.items()}
    return [without_nan(item) for item in value] if isinstance(value, list) else value


def run(count: int, seed: int, stack: Running) -> Result:
    """Send messages through a running stack that nobody else uses, and check everything."""
    result = Result(count, seed)
    pids, said = stack.pids(), stack.log.read_text()
    began = time.monotonic()
    sent = asyncio.run(send(stack.brokers, messages(count, seed, now_micros())))
    result.seconds_sent = round(time.monotonic() - began, 1)
    stack.drained(DRAIN_SECONDS)
    result.seconds_drained = round(time.monotonic() - began, 1)
    good = judge(sent, result)
    check_stored(stack, sent, good, result)
    check_letters(stack, sent, good, result)
    check_derived(stack, good, result)
    if stack.pids() != pids:
        result.restarted.append(f"process ids were {pids}, are {stack.pids()}")
    result.restarted += stack.log.read_text()[len(said) :].splitlines()
    return result


def main(arguments: list[str] | None = None) -> int:
    """Run on a stack of its own; return 1 where anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz", description=__doc__)
    parser.add_argument("--messages", type=int, default=5000, help="good and fuzzed ones (default 5000)")
    parser.add_argument("--seed", type=int, default=1, help="of every message (default 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    args = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="evometrics-fuzz-") as folder,
        running_stack(Path(folder) / "data", PARTITIONS, **NO_LIMIT) as stack,
    ):
        result = run(args.messages, args.seed, stack)
    if args.json:
        print(json.dumps(asdict(result)))
    else:
        print(f"{result.messages} messages of seed {result.seed}: {result.good} good, {result.bad} bad")
        for kind, counted in result.kinds.items():
            print(f"  {kind:16} {counted.get('good', 0):7} good {counted.get('bad', 0):7} bad")
        print(f"dead letters {result.letters}, derived rows {result.derived}")
        print(f"sent in {result.seconds_sent} s, processed after {result.seconds_drained} s")
        for name, lines in result.wrong.items():
            print(f"{name}: {len(lines)}")
            for line in lines[:SHOWN]:
                print(f"  {line[:1000]}")
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
