"""Full-size completions, made fast enough to fill a topic with ten millions of them.

An event's Avro datum is its fields one after another, so what differs from event to event is put in front
of a part that is encoded once per template, and each measured number in it is overwritten with a new one.
The bytes are those that `WireFormat.encode` gives for the same event (tests/benchmarks/test_benchmarks.py).
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted
from evometrics.schemas.kpis.performance import KPI_NAMES
from evometrics.schemas.wire.binary import write_bytes, write_long
from evometrics.schemas.wire.framing import WireFormat

CHUNK = 4096
TEMPLATES = 64
TRAJECTORY = 20
SECOND = 1_000_000
#: Framing in front of the datum: two bytes of marker, eight of the schema's fingerprint.
FRAMING = 10
STRATEGIES = {
    "hyperparameter_tuning": "low",
    "feature_engineering": "medium",
    "architecture_change": "high",
    "ensemble_growth": "medium",
    "robustness_training": "medium",
    "extended_training": "low",
}
TYPES = ("nightly", "triggered", "emergency")
#: KPIs that are not shares of 1, with the least and the most.
RANGES = {
    "response_time_ms": (20.0, 3000.0),
    "throughput_tps": (1.0, 80.0),
    "memory_usage_mb": (50.0, 3000.0),
}
USAGE = {"duration_seconds": (5.0, 600.0), "memory_used_mb": (100.0, 4000.0), "cpu_percent_avg": (5.0, 100.0)}


class Made(NamedTuple):
    """An encoded completion and what a check wants to know of it."""

    number: int
    agent: int
    key: bytes
    value: bytes


class Facts(NamedTuple):
    """What a chunk's events count as, one array entry for each event."""

    at: Any
    agent: Any
    template: Any


class Template(NamedTuple):
    """What events of one kind have in common: fields, the encoded part, its numbers' places and ranges."""

    event: EvolutionCompleted
    framing: bytes
    tail: bytes
    places: Any
    low: Any
    span: Any


class Events:
    """Completions by number: the same seed and settings always give the same ones, from any number on.

    Args:
        seed: of ids, agents, and every measured number.
        agents: how many agents they are of, drawn evenly.
        begin: event time of number 0, microseconds.
        per_second: events in a second of event time.
        nodes: how many nodes the agents belong to.
    """

    def __init__(
        self, seed: int, agents: int, begin: int, per_second: float = 1000.0, nodes: int = 4
    ) -> None:
        self.seed = seed
        self.begin = begin
        self.step = round(SECOND / per_second)
        self.wire = WireFormat()
        self.templates = [template(self.wire, random.Random(f"{seed}|{n}"), n) for n in range(TEMPLATES)]
        self.names = [f"agent-{n:06d}".encode() for n in range(agents)]
        self.nodes = [f"node-{n}" for n in range(nodes)]
        encoded = [write_bytes(node.encode()) for node in self.nodes]
        self.whose = [write_bytes(name) + encoded[n % nodes] for n, name in enumerate(self.names)]

    def node_of(self, agent: int) -> str:
        """Return the node an agent belongs to."""
        return self.nodes[agent % len(self.nodes)]

    def facts(self, chunk: int) -> Facts:
        """Return what the events of a chunk count as."""
        rng = np.random.default_rng([self.seed, chunk, 0])
        numbers = np.arange(chunk * CHUNK, (chunk + 1) * CHUNK, dtype=np.int64)
        agents = rng.integers(len(self.names), size=CHUNK)
        return Facts(self.begin + numbers * self.step, agents, rng.integers(TEMPLATES, size=CHUNK))

    def made(self, first: int, count: int) -> Iterator[Made]:
        """Return events `first` up to but without `first + count`, encoded."""
        for chunk in range(first // CHUNK, -(-(first + count) // CHUNK)):
            for event in self.chunk(chunk):
                if first <= event.number < first + count:
                    yield event

    def chunk(self, chunk: int) -> list[Made]:
        """Return the events of a chunk, encoded."""
        facts = self.facts(chunk)
        rng = np.random.default_rng([self.seed, chunk, 1])
        tails: list[bytes] = [b""] * CHUNK
        durations = [0] * CHUNK
        for number, kind in enumerate(self.templates):
            rows = np.nonzero(facts.template == number)[0]
            values = kind.low + kind.span * rng.random((len(rows), len(kind.low)))
            block = np.tile(np.frombuffer(kind.tail, dtype=np.uint8), (len(rows), 1))
            raw = values.astype("<f8").view(np.uint8).reshape(len(rows), -1, 8)
            block[:, kind.places[:, None] + np.arange(8)] = raw
            for row, tail, duration in zip(rows.tolist(), block, values[:, 0].tolist(), strict=True):
                tails[row], durations[row] = tail.tobytes(), int(duration * SECOND)
        salts = rng.integers(2**47, size=CHUNK).tolist()
        made = []
        columns = (facts.at.tolist(), facts.agent.tolist(), facts.template.tolist(), salts, tails, durations)
        numbered = enumerate(zip(*columns, strict=True), start=chunk * CHUNK)
        for number, (at, agent, kind_number, salt, tail, duration) in numbered:
            name = self.names[agent]
            head = (write_bytes(event_id(at, number, salt)), self.whose[agent], write_long(at))
            own = (write_bytes(b"%s-%d" % (name, number)), write_long(at - duration), tail)
            made.append(
                Made(number, agent, name, b"".join((self.templates[kind_number].framing, *head, *own)))
            )
        return made

    def completed(self, first: int, count: int) -> list[EvolutionCompleted]:
        """Return events as objects."""
        found = [self.wire.decode(event.value) for event in self.made(first, count)]
        return [event for event in found if isinstance(event, EvolutionCompleted)]


def template(wire: WireFormat, rng: random.Random, number: int) -> Template:
    """Return one kind of event; how often a strategy succeeds differs between strategies."""
    strategy = list(STRATEGIES)[number % len(STRATEGIES)]
    success = rng.random() < 0.4 + 0.08 * (number % len(STRATEGIES))
    ranges = [*USAGE.values(), *(RANGES.get(name, (0.0, 1.0)) for name in (*KPI_NAMES, *KPI_NAMES))]
    ranges += [(0.0, 1.0)] * TRAJECTORY
    marks = [rng.random() for _ in ranges]
    usage, kpis, fitness = marks[: len(USAGE)], marks[len(USAGE) : -TRAJECTORY], marks[-TRAJECTORY:]
    event = EvolutionCompleted(
        event_id="00000000-0000-7000-8000-000000000000",
        agent_id="a",
        node_id="n",
        occurred_at=1,
        evolution_id="e",
        started_at=1,
        evolution_type=TYPES[number % len(TYPES)],
        generation=rng.randrange(200),
        strategy_used=strategy,
        risk_level=STRATEGIES[strategy],
        target_gain=rng.choice([0.02, 0.05, 0.1]),
        trigger_reason="weak: accuracy 0.61, reliability 0.7",
        pre_kpis=dict(zip(KPI_NAMES, kpis[: len(KPI_NAMES)], strict=True)),
        post_kpis=dict(zip(KPI_NAMES, kpis[len(KPI_NAMES) :], strict=True)),
        success=success,
        status="succeeded" if success else rng.choice(["failed", "rolled_back"]),
        **dict(zip(USAGE, usage, strict=True)),
        error_count=0,
        warning_count=1,
        gpu_memory_mb=None,
        network_bytes_transferred=rng.randrange(10**9),
        rollback_performed=not success,
        convergence_iterations=rng.randrange(1, TRAJECTORY),
        fitness_trajectory=fitness,
        insights=[
            f"kept {rng.randrange(9)} of 12 candidates",
            "warning: validation was slow",
            "gain mostly late",
        ],
        metadata={"run": f"{rng.getrandbits(40):010x}", "dataset": "digits", "build": f"2.{number}"},
    )
    value = wire.encode(event)
    head = (
        write_bytes(event.event_id.encode())
        + write_bytes(b"a")
        + write_bytes(b"n")
        + write_long(1)
        + write_bytes(b"e")
        + write_long(1)
    )
    if value[FRAMING : FRAMING + len(head)] != head:
        raise ValueError("the schema of evolution_completed no longer begins as this generator writes it")
    tail = value[FRAMING + len(head) :]
    places = np.array([tail.index(struct.pack("<d", mark)) for mark in marks])
    low = np.array([least for least, _ in ranges])
    return Template(event, value[:FRAMING], tail, places, low, np.array([most for _, most in ranges]) - low)


def start_of(done: EvolutionCompleted, event_id: str) -> EvolutionStarted:
    """Return the start that belongs to a completion."""
    return EvolutionStarted(
        event_id=event_id,
        agent_id=done.agent_id,
        node_id=done.node_id,
        occurred_at=done.started_at,
        evolution_id=done.evolution_id,
        evolution_type=done.evolution_type,
        generation=done.generation,
        strategy=done.strategy_used,
        risk_level=done.risk_level,
        target_gain=done.target_gain,
        trigger_reason=done.trigger_reason,
        pre_kpis=done.pre_kpis,
        metadata=done.metadata,
    )


def event_id(at_micros: int, number: int, salt: int) -> bytes:
    """Return a UUIDv7 that no other number has."""
    digits = b"%012x7%03x%x%015x" % (
        at_micros // 1000,
        number & 0xFFF,
        8 | salt & 3,
        (number >> 12 << 34 | salt >> 13) & 0xFFF_FFFF_FFFF_FFFF,
    )
    return b"-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
