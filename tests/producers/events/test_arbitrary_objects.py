"""Whatever object is handed in: nothing raises, nothing hangs, and no evolution with an agent is lost.

EXAMPLES=20000 pytest -o faulthandler_timeout=7200 tests/producers/events/test_arbitrary_objects.py
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evometrics.producers import EvolutionMetricsCollector
from evometrics.producers.events.given import ATTRIBUTES
from evometrics.producers.events.left_out import LEFT_OUT
from evometrics.schemas.events import Event, EvolutionCompleted, SystemEvent
from evometrics.schemas.rules.validation import MAX_EVENT_BYTES, validate
from evometrics.schemas.wire.framing import WireFormat
from tests.support.outboxes import config

EXAMPLES = int(os.environ.get("EXAMPLES", "500"))
#: Seconds that a call may take: one where this runs alone, with as many examples as are asked for; beside
#: other tests the machine itself may take one away.
MOST_SECONDS = 1.0 if "EXAMPLES" in os.environ else 5.0


class Colour(Enum):
    RED = "red"
    HALF = 0.5
    ODD = (1, 2)


class Raising:
    """Raises for everything that may be asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise ValueError("repr")

    def __float__(self) -> float:
        raise OSError("float")

    def __bool__(self) -> bool:
        raise KeyError("bool")

    def __len__(self) -> int:
        raise TypeError("len")

    def __iter__(self) -> Iterator[Any]:
        raise LookupError("iter")

    def __eq__(self, other: object) -> bool:
        raise ArithmeticError("eq")

    __hash__ = object.__hash__


class Recursive:
    """Has itself as each of its attributes."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


@dataclass
class Record:
    """A dataclass that an application has."""

    agent_id: Any = None
    accuracy: Any = 0.5


def cyclic() -> dict[str, Any]:
    found: dict[str, Any] = {"x": 1.0}
    found["self"] = found
    found["list"] = [found]
    return found


def broken() -> Iterator[float]:
    yield 0.5
    raise StopAsyncIteration


numbers = st.one_of(
    st.floats(),
    st.integers(),
    st.integers(-(10**30), 10**30),
    st.booleans(),
    st.decimals(),
    st.fractions(),
    st.floats(width=32).map(np.float32),
    st.builds(lambda: -(10**5000)),
    st.sampled_from([10**400, Decimal("1e999"), 1e308, 5e-324, -0.0, 2**63, 1_700_000_000_000]),
)
text = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "\ud800", "nan", "0.5", "a\x00b", "é" * 600, "x" * 1500, "error: x", "true", "1e400"]
    ),
)
keys = st.one_of(text, st.integers(), st.none(), st.sampled_from(Colour))
leaves = st.one_of(
    st.none(),
    numbers,
    text,
    st.binary(max_size=8),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.timedeltas(),
    st.uuids(),
    st.complex_numbers(),
    st.builds(Raising),
    st.builds(Recursive),
    st.builds(cyclic),
    st.builds(broken),
    st.builds(Record),
    st.builds(object),
    st.sampled_from([*Colour, Path("a/b"), int, type, np.array([1.0, 2.0]), np.array(0.5), range(5), ...]),
    st.builds(lambda n: (float(i) for i in range(n)), st.integers(0, 50)),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(
            st.one_of(text, st.integers(), st.none(), st.sampled_from(Colour)), inner, max_size=4
        ),
        st.frozensets(st.integers(), max_size=3),
    ),
    max_leaves=8,
)
agents = st.sampled_from(["a", "b", 7, Colour.RED, "a\ud800", b"raw"])
fields = st.dictionaries(st.sampled_from(sorted(ATTRIBUTES)), values, max_size=8)
odd_fields = st.dictionaries(text, values, max_size=3)


def shaped(found: dict[str, Any], shape: str) -> object:
    """Return fields as an object, as a mapping, or as a class of their own."""
    if shape == "mapping":
        return found
    if shape == "class":
        names = {name: value for name, value in found.items() if name.isidentifier()}
        return type("Event", (), names)()
    return SimpleNamespace(**{name: value for name, value in found.items() if name.isidentifier()})


events = st.builds(
    lambda own, agent, has_agent, odd, shape: shaped(
        {**odd, **own, "agent_id": agent} if has_agent else {**odd, **own}, shape
    ),
    fields,
    agents,
    st.sampled_from([True, True, True, False]),
    odd_fields,
    st.sampled_from(["object", "mapping", "class"]),
)
calls = st.one_of(
    st.tuples(st.just("start"), events),
    st.tuples(st.just("completion"), events),
    st.tuples(st.just("progress"), values, values, values, values),
    st.tuples(st.just("snapshot"), st.one_of(agents, values), values, values, values, values),
    st.tuples(st.just("system"), values, values),
    st.tuples(st.just("metrics"), values),
    st.tuples(st.just("block"), agents, fields, values, values, fields),
)


async def call(collector: EvolutionMetricsCollector, kind: str, *args: Any) -> list[str | None]:
    """Make one call, or those of a block; return the ids."""
    match kind:
        case "start":
            return [await collector.record_evolution_start(args[0])]
        case "completion":
            return [await collector.record_evolution_completion(args[0])]
        case "progress":
            agent, iteration, fitness, own = args
            return [await collector.record_evolution_progress(agent, iteration, fitness, evolution_id=own)]
        case "snapshot":
            agent, kpis, phase, own, when = args
            return [
                await collector.record_kpi_snapshot(
                    agent, kpis, phase=phase, evolution_id=own, timestamp=when
                )
            ]
        case "system":
            return [await collector.record_system_event(*args)]
        case "metrics":
            return [await collector.record_system_metrics(args[0])]
    agent, begin, iteration, fitness, end = args
    keys = ("evolution_type", "strategy", "pre_kpis", "evolution_id", "generation", "risk_level", "metadata")
    async with collector.evolution(agent, **{name: begin[name] for name in keys if name in begin}) as run:
        await run.progress(iteration, fitness)
        keys = ("post_kpis", "success", "rollback_performed", "status", "insights", "duration_seconds")
        keys += ("convergence_iterations", "fitness_trajectory", "metadata", "parent_agent_id", "cost_usd")
        await run.complete(**{name: end[name] for name in keys if name in end})
    return []


class Rows:
    """What has come into an outbox since it was last asked, each event read back and checked."""

    #: Recorded to know that all before it is on disk, what no call waited for included.
    MARK = "mark"

    def __init__(self) -> None:
        self.wire = WireFormat()
        self.seq = 0

    def new(self, path: Path) -> list[Event]:
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT seq, value FROM outbox WHERE seq > ? ORDER BY seq", (self.seq,))
            found = rows.fetchall()
        if found:
            self.seq = found[-1][0]
        assert all(len(value) <= MAX_EVENT_BYTES for _, value in found)
        events = [self.wire.decode(value) for _, value in found]
        for event in events:
            validate(event)
        return [e for e in events if not (isinstance(e, SystemEvent) and e.event_type == self.MARK)]


def named_within(found: list[Event]) -> Counter[str]:
    """Return how many values events say they lost, by whether they say it in full."""
    counts: Counter[str] = Counter()
    for event in found:
        if isinstance(event, SystemEvent):
            data = json.loads(event.data)
            entries = data.get(LEFT_OUT, {}) if isinstance(data, dict) else {}
        else:
            entries = json.loads(getattr(event, "metadata", {}).get(LEFT_OUT, "{}"))
        more = entries.pop("more", "0").split()[0] if isinstance(entries, dict) else "0"
        counts["named"] += len(entries) + int(more)
    return counts


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def collector(
    runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EvolutionMetricsCollector]:
    collector = EvolutionMetricsCollector(config(tmp_path_factory.mktemp("outbox"), outbox_max_mb=4096))
    runner.run(collector.start())
    yield collector
    runner.run(collector.stop())


@pytest.fixture(scope="module")
def rows() -> Rows:
    return Rows()


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(made=calls)
def test_whatever_is_handed_in_is_recorded_told_apart_or_counted(
    runner: asyncio.Runner, collector: EvolutionMetricsCollector, rows: Rows, made: tuple[Any, ...]
) -> None:
    before = collector.rejected, sum(collector.left_out.values())
    begun = time.monotonic()
    ids: list[str | None] = []
    raised = ""
    try:
        ids = runner.run(call(collector, *made))
    except Exception as error:  # what was handed in may not even have a text to be shown
        raised = f"{made[0]} raised {type(error).__name__} at {error.__traceback__}"
    took = time.monotonic() - begun
    assert not raised
    runner.run(collector.record_system_event(rows.MARK))
    found = rows.new(collector.outbox.path)
    # after the rows are read: those of a slow call must not be taken for the next example's
    assert took < MOST_SECONDS * (3 if made[0] == "block" else 1), f"{took:.2f} s"
    rejected = collector.rejected - before[0]
    reports = [e for e in found if isinstance(e, SystemEvent) and e.event_type == "event_rejected"]
    assert len(reports) == rejected, "each rejection has its report"
    assert sum(id_ is None for id_ in ids) == rejected, "what has no id was rejected"
    stored = {event.event_id for event in found}
    again = made[0] in ("completion", "snapshot")
    assert again or all(id_ in stored for id_ in ids if id_ is not None)
    if made[0] in ("completion", "block"):
        completions = [e for e in found if isinstance(e, EvolutionCompleted)]
        assert len(completions) + rejected == 1 or (again and ids[0] not in (None, *stored))
        for done in completions:
            assert done.success == (done.status == "succeeded")
            assert not (done.success and done.rollback_performed)
            assert done.started_at <= done.occurred_at or math.isclose(done.started_at, done.occurred_at)
    if made[0] == "block":
        assert rejected == 0, "it names its agent"
    left_out = sum(collector.left_out.values()) - before[1]
    assert left_out >= named_within(found)["named"] or again


def test_durations_of_any_kind_are_taken_or_named(
    runner: asyncio.Runner, collector: EvolutionMetricsCollector
) -> None:
    event = {"agent_id": "own", "success": True, "duration_seconds": timedelta(seconds=3)}
    assert runner.run(collector.record_evolution_completion(event))
    assert collector.metrics_history[-1].duration_seconds == 3.0
    event = {"agent_id": "own", "success": True, "duration_seconds": datetime.now(UTC)}
    assert runner.run(collector.record_evolution_completion(event))
    assert collector.metrics_history[-1].duration_seconds is None
