"""Messages of every kind that a topic may be given by accident or in anger, each made from a seed.

Most kinds are good or bad by construction. What a random change makes of a message is for
`schemas.wire.reading` to say; what matters there is that every part says the same.
"""

from __future__ import annotations

import dataclasses
import io
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import fastavro

from evometrics.schemas.events import (
    CustomMetric,
    Event,
    EvolutionCompleted,
    EvolutionProgressed,
    EvolutionStarted,
    KpiSnapshot,
    SystemEvent,
)
from evometrics.schemas.topics import BY_RECORD, RAW_TOPICS
from evometrics.schemas.wire.framing import SINGLE_OBJECT, SINGLE_OBJECT_LENGTH, WireFormat
from tests.support.generator import Load, event_id, evolution
from tests.support.model import SECOND

WIRE = WireFormat()
LARGEST = 1_000_000
INT64 = 2**63
FLOATS = (1e308, -1e308, 1.7976931348623157e308, 5e-324, -0.0, 0.0, 1e-300, 1 / 3)
INTS = (INT64 - 1, -INT64, 0, -1, 1, 2**31, -(2**31))
TEXTS = (
    "",
    " ",
    "\0",
    "ü" * 300,
    "\U0001f9ec" * 200,
    "'; DROP TABLE x --",
    "{",
    "a|b",
    "\x1f",
    "\ufeff\u202e",
)


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """A message to send.

    Attributes:
        kind: how it was made.
        good: whether it is good by construction; None where only reading it tells.
        event: the event in it, where it is good by construction.
        headers: names and values.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    kind: str
    good: bool | None
    event: Event | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def fuzzed(seed: int, load: Load) -> Iterator[Fuzzed]:
    """Return messages without end: victims are events as `load` has them, each of an agent of its own."""
    rng = random.Random(f"fuzz {seed}")
    makers = list(MAKERS.items())
    for number in range(2**31):
        kind, make = makers[number % len(makers)]
        yield make(rng, kind, victim(rng, load))


def victim(rng: random.Random, load: Load) -> Event:
    """Return an event that is good and shares neither agent nor evolution with any other."""
    own = f"fuzz-{rng.getrandbits(64):016x}"
    record = rng.choice(RAW_TOPICS).record
    while True:
        for event in evolution(rng, load, 0):
            if event.record == record:
                changes: dict[str, Any] = {"agent_id": own}
                if hasattr(event, "evolution_id"):
                    changes["evolution_id"] = f"{own}-1"
                return dataclasses.replace(event, **changes)


def message(kind: str, event: Event, value: bytes | None, good: bool | None) -> Fuzzed:
    """Return a message instead of an event's own."""
    return Fuzzed(BY_RECORD[event.record].name, event.key.encode(), value, kind, good)


def random_bytes(rng: random.Random, kind: str, event: Event) -> Fuzzed:
    length = rng.choice([1, 2, 9, 10, 11, 100, 2000])
    if rng.random() < 0.02:
        length = LARGEST
    return message(kind, event, rng.randbytes(length), False)


def no_value(rng: random.Random, kind: str, event: Event) -> Fuzzed:
    return message(kind, event, rng.choice([None, b""]), False)


def truncated(rng: random.Random, kind: str, event: Event) -> Fuzzed:
    value = WIRE.encode(event)
    return message(kind, event, value[: rng.randrange(len(value))], False)


def lengthened(rng: random.Random, kind: str, event: Event) -> Fuzzed:
    value = WIRE.encode(event)
    more = rng.choice([b"\0", value[SINGLE_OBJECT_LENGTH:], rng.randbytes(rng.randrange(1, 50))])
    return message(kind, event, value + more, False)


def mutated(rng: random.Random, kind: str, event: Event) -> Fuzzed:
    """Flip, drop, add or repeat some bytes of the datum."""
    value = bytearray(WIRE.encode(event))
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        place = rng.randrange(SINGLE_OBJECT_LENGTH, len(value))
        match rng.randrange(5):
            case 0:
                value[place] ^= 1 << rng.randrange(8)
            case 1:
                value[place] = rng.choice([0x00, 0x01, 0x02, 0x7F, 0x80, 0xFF])
            case 2:
                del value[place]
            case 3:
                value[place:place] = rng.choice([b"\x80", b"\xff" * 9, rng.randbytes(3)])
            case _:
                value[place:place] = value[place : place + rng.randrange(1, 20)]
        if len(value) <= SINGLE_OBJECT_LENGTH:
            break
    return message(kind, event, bytes(value), None)


def spliced(rng: random.Random, kind: str, event: Event) -> Fuzzed:
    """The beginning of one event and the end of another."""
    value = WIRE.encode(event)
    cut = rng.randrange(SINGLE_OBJECT_LENGTH, len(value))
    other = WIRE.encode(dataclasses.replace(event, event_id=event_id(rng), node_id="another"))
    return message(kind, event, value[:cut] + other[cut + rng.randrange(-3, 4) :], None)


def unknown_schema(rng: random.Random, kind: str, event: Event) -> Fuzzed:
    datum = WIRE.encode(event)[SINGLE_OBJECT_LENGTH:]
    framing = rng.choice([SINGLE_OBJECT + rng.randbytes(8), b"\0" + rng.randbytes(4), b"\xc3\x02" + bytes(8)])
    return message(kind, event, framing + datum, False)


def wrong_record(rng: random.Random, kind: str, event: Event) -> Fuzzed:
    """A good event of another topic, or its datum under this topic's schema."""
    topics = [t for t in RAW_TOPICS if t.record != event.record]
    other = rng.choice(topics)
    value = WIRE.encode(event)
    if rng.random() < 0.5:
        return Fuzzed(other.name, event.key.encode(), value, kind, False)
    return Fuzzed(other.name, None, WIRE.prefixes[other.record] + value[10:], kind, None)


def wrong_types(rng: random.Random, kind: str, event: Event) -> Fuzzed:
    """The same fields, some of them written as another type."""
    own = f"text-{rng.getrandbits(64):016x}"
    source = WIRE.writers[event.record].source
    values = event.to_record()
    fields = []
    for field in source["fields"]:
        name, declared = field["name"], field["type"]
        if rng.random() < 0.15:
            declared, values[name] = rng.choice(
                [("string", own), ("long", 7), ("double", 0.5), ("boolean", True), ("bytes", b"\xff\xfe")]
            )
        fields.append({"name": name, "type": declared})
    schema = fastavro.parse_schema({"type": "record", "name": "Other", "fields": fields})
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, values)
    return message(kind, event, WIRE.prefixes[event.record] + out.getvalue(), None)


def no_utf8(rng: random.Random, kind: str, event: Event) -> Fuzzed:
    bad = rng.choice([b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"])
    field = rng.choice(["agent_id", "node_id"])
    mark = "\x01" * len(bad)
    value = WIRE.encode(dataclasses.replace(event, **{field: f"a{mark}z"}))
    return message(kind, event, value.replace(mark.encode(), bad), False)


def invalid(rng: random.Random, kind: str, event: Event) -> Fuzzed:
    """An event that no collector records."""
    odd = rng.choice([math.nan, math.inf, -math.inf])
    changes: list[dict[str, Any]] = [
        {"node_id": ""},
        {"node_id": "n" * 1001},
        {"agent_id": "a" * rng.choice([1001, 5000])},
        {"event_id": rng.choice(["", "x", "g" * 36, event.event_id.replace("-", ""), event.event_id + " "])},
        {"event_id": event.event_id[:-1] + "g"},
        {"occurred_at": rng.choice([-1, INT64 - 1, -INT64, event.occurred_at * 1000])},
    ]
    if not isinstance(event, SystemEvent | CustomMetric):
        changes.append({"agent_id": ""})
    aimless = {"direction": rng.choice(["", "up", "Maximize", "minimize "])}
    match event:
        case EvolutionStarted():
            changes += [{"pre_kpis": {"accuracy": odd}}, {"memory_mb": odd}, {"target_gain": odd}]
            changes += [aimless, {rng.choice(["run_id", "model", "objective"]): "m" * 1001}]
        case EvolutionProgressed():
            changes += [{"fitness": odd}, {"cpu_percent": odd}, {"evolution_id": ""}, {"mean": odd}]
            changes += [{"extras": {"a": odd}}, {rng.choice(["evaluations", "front_size"]): -1}]
        case EvolutionCompleted():
            changes += [{"duration_seconds": -1e-9}, {"status": "great"}, {"fitness_trajectory": [0.0, odd]}]
            changes += [{"error_count": -1}, {"started_at": -5}, {"post_kpis": {"a": 1.0, "b": odd}}]
            changes += [{"network_bytes_transferred": -INT64}, {"gpu_memory_mb": odd}]
            changes += [{"cost_usd": odd}, {"cost_usd": -0.5}, {"parent_agent_id": "p" * 1001}]
            changes += [{"progress_share": rng.choice([odd, -0.01, 1.01])}]
            changes += [aimless, {rng.choice(["run_id", "model", "objective"]): "m" * 1001}]
            changes += [{"parent_agent_ids": ["p", rng.choice(["", "p" * 1001])]}]
            changes += [{rng.choice(["tokens_in", "tokens_out", "evaluations"]): rng.choice([-1, -INT64])}]
            changes += [{"candidate_hash": rng.choice(["", "f" * 63, "F" * 64, "g" * 64, "f" * 64 + "\n"])}]
            changes += [
                {"snapshot_phases": ["post_evolution", rng.choice(["", "continuous", "Post_evolution"])]}
            ]
        case KpiSnapshot():
            changes += [{"accuracy": odd}, {"phase": ""}, {"extra": {"": odd}}, aimless]
            changes += [{"objective": "m" * 1001}]
            changes += [{"source_event_id": rng.choice(["", "x", event.event_id.replace("-", "")])}]
        case SystemEvent():
            changes += [{"event_type": ""}]
        case CustomMetric():
            changes += [{"name": ""}, {"name": "m" * 1001}, {"kind": "rate"}, {"value": odd}]
    return message(kind, event, WIRE.encode(dataclasses.replace(event, **rng.choice(changes))), False)


def extreme(rng: random.Random, kind: str, event: Event) -> Fuzzed:
    """A good event with values at the edge of what its fields hold."""

    def number() -> float:
        return rng.choice(FLOATS)

    def count() -> int:
        return rng.choice([0, INT64 - 1])

    def text() -> str:
        return rng.choice(TEXTS)

    def aim() -> dict[str, Any]:
        return {
            "objective": rng.choice([None, "accuracy", "performance", text()]),
            "direction": rng.choice([None, "maximize", "minimize", "pareto"]),
        }

    def kpis() -> dict[str, float]:
        return {rng.choice(["accuracy", "performance", "throughput_tps", text()]): number() for _ in range(4)}

    changes: dict[str, Any]
    match event:
        case EvolutionStarted():
            changes = {"generation": rng.choice(INTS), "pre_kpis": kpis(), "metadata": {text(): text()}}
            changes |= {"strategy": text(), "target_gain": number(), "cpu_percent": number(), **aim()}
            changes |= {"run_id": text(), "model": text()}
        case EvolutionProgressed():
            changes = {"iteration": rng.choice(INTS), "fitness": number(), "memory_mb": number()}
            changes |= {"unmeasured": [text(), "fitness"], "metadata": {text(): text()}}
            changes |= {"evaluations": count(), "front_size": count(), "mean": number(), "extras": kpis()}
            changes |= {"occurred_at": rng.choice([0, event.occurred_at])}
        case EvolutionCompleted():
            changes = {"generation": rng.choice(INTS), "pre_kpis": kpis(), "post_kpis": kpis()}
            changes |= {"duration_seconds": abs(number()), "memory_used_mb": number(), "insights": [text()]}
            changes |= {"error_count": count(), "network_bytes_transferred": count(), "started_at": 0}
            changes |= {"unmeasured": [text()], "progress_share": rng.choice([None, 0.0, 1.0])}
            changes |= {"snapshot_phases": rng.choice([[], ["post_evolution"] * 2, ["pre_evolution"]])}
            changes |= {"evolution_type": text(), "strategy_used": text(), "trigger_reason": text()}
            changes |= {
                "parent_agent_id": rng.choice([None, text()]),
                "cost_usd": rng.choice([None, 0.0, 1e300]),
            }
            changes |= {"parent_agent_ids": [text() or "p"] * rng.choice([1, 2, 500]), "tokens_in": count()}
            changes |= {
                "tokens_out": count(),
                "evaluations": count(),
                "model": text(),
                "run_id": text(),
                **aim(),
            }
            changes |= {"candidate": text(), "candidate_hash": rng.choice([None, "0" * 64])}
            changes |= {"fitness_trajectory": [number() for _ in range(rng.choice([0, 2000]))]}
        case KpiSnapshot():
            changes = {"accuracy": number(), "reliability": number(), "evaluation_count": rng.choice(INTS)}
            changes |= {"metadata": {text(): text()}, **aim()}
            changes |= {"extra": kpis(), "occurred_at": rng.choice([0, event.occurred_at])}
        case CustomMetric():
            changes = {"agent_id": "", "name": text() or "x", "value": number(), "labels": {text(): text()}}
            changes |= {"unit": text(), "help": text()}
        case _:
            changes = {"agent_id": "", "event_type": text() or "x", "data": text()}
    changed = dataclasses.replace(event, **changes)
    return Fuzzed(
        BY_RECORD[event.record].name, changed.key.encode(), WIRE.encode(changed), kind, True, changed
    )


def large(rng: random.Random, kind: str, event: Event) -> Fuzzed:
    """A good event with a map of many names, now and then nearly as large as a message may be."""
    names = 40_000 if rng.random() < 0.02 else rng.choice([100, 1000])
    numbers = {f"kpi-{i:06d}": rng.random() for i in range(names)}
    changes: dict[str, Any]
    match event:
        case EvolutionStarted():
            changes = {"metadata": dict.fromkeys(numbers, "x")}
        case EvolutionCompleted():
            changes = {"post_kpis": numbers}
        case KpiSnapshot():
            changes = {"extra": numbers}
        case SystemEvent():
            changes = {"data": "x" * 20 * names}
        case _:
            changes = {"node_id": "n" * 1000}
    changed = dataclasses.replace(event, **changes)
    return Fuzzed(
        BY_RECORD[event.record].name, changed.key.encode(), WIRE.encode(changed), kind, True, changed
    )


def no_key(rng: random.Random, kind: str, event: Event) -> Fuzzed:
    return Fuzzed(BY_RECORD[event.record].name, None, WIRE.encode(event), kind, True, event)


def odd_key(rng: random.Random, kind: str, event: Event) -> Fuzzed:
    """A good event, or the beginning of one, under a key and headers of any bytes and size."""
    size = rng.choice([0, 1, 16, 1000, 1001, 20_000])
    if rng.random() < 0.03:
        size = rng.choice([100_001, 500_000, 950_000])
    key = rng.choice([rng.randbytes(size), b"\xff" * size, b"k" * size, "é".encode() * (size // 2)])
    few = [("", b""), ("k" * 300, b"\xff" * rng.choice([1, 3000])), ("evometrics-republished", b"\xff:x")]
    headers = tuple(rng.choice(few) for _ in range(rng.choice([0, 1, 40])))
    topic, value, good = BY_RECORD[event.record].name, WIRE.encode(event), rng.random() < 0.5
    if good:
        return Fuzzed(topic, key, value, kind, True, event, headers)
    return Fuzzed(topic, key, value[: rng.randrange(len(value))], kind, False, None, headers)


MAKERS: dict[str, Callable[[random.Random, str, Event], Fuzzed]] = {
    "random bytes": random_bytes,
    "no value": no_value,
    "truncated": truncated,
    "lengthened": lengthened,
    "mutated": mutated,
    "mutated again": mutated,
    "spliced": spliced,
    "unknown schema": unknown_schema,
    "wrong record": wrong_record,
    "wrong types": wrong_types,
    "no UTF-8": no_utf8,
    "invalid": invalid,
    "invalid again": invalid,
    "extreme": extreme,
    "large": large,
    "no key": no_key,
    "odd key": odd_key,
}


def around(now: int) -> Load:
    """Return a load whose events all lie within the hours before `now` (microseconds): none is too late."""
    return Load(seed=0, begin=now - 7 * 3600 * SECOND, agents=200, evolutions=1, nodes=4, hours=6)
